"""Rotations by the thousand over real sockets, with a ledger at the server."""
