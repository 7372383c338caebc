"""Checks the promises of `scope="host"`: real processes on loopback, and a server that counts."""
