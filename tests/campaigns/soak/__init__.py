"""Soak: many clients for minutes on a server that breaks something every second."""
