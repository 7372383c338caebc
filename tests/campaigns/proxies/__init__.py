"""The client behind nginx, HAProxy and Caddy, while their backend counts connections."""
