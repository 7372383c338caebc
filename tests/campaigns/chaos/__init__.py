"""The proof of what `scope="host"` promises: real processes on loopback, a server that counts."""
