"""The server's end of a connection below its protocol: what the kernel knows, and how slowly it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onesocket.testing._faulty_connection import FaultyConnection


def held_by_a_process(connection: FaultyConnection) -> bool:
    """True if a process still holds the client's end of this connection, by the kernel's table of sockets."""
    transport: Any = connection._transport  # pyright: ignore[reportPrivateUsage] - it has no public peer
    ends = [transport.get_extra_info(name) for name in ("peername", "sockname")] if transport is not None else []
    if not all(ends):
        return False
    # Both ends: the port of one that is gone may serve another connection of this machine by now.
    address = [f"0100007F:{port:04X}" for _, port in ends]
    for row in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        cells = row.split()
        if cells[1:3] == address:
            return cells[9] != "0"  # its inode; an orphan that the kernel still closes has none
    return False


def read_in_pieces(connection: FaultyConnection, size: int) -> None:
    """Read so many bytes from the socket in each turn of the loop from now on, with back-pressure for the rest."""
    transport: Any = connection._transport  # pyright: ignore[reportPrivateUsage] - it has no public reader
    if transport is not None:
        transport.max_size = size
