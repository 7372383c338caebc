"""Other clients with ten connect() calls at once, and with a server that closes each connection at once."""
