"""What other clients do with ten connect() calls at once, and with a server that closes what it has just opened."""
