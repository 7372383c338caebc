"""User and process at the other end of a Unix socket, as reported by the kernel."""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Final

from ...errors import ForeignUser

_UCRED: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
_XUCRED: Final = struct.Struct("IIh")  # struct xucred begins with its version, the uid, and the number of groups
_XUCRED_BYTES: Final = 76
_LOCAL_PEERCRED: Final = 1


def check_peer_user(descriptor: int) -> int:
    """Return the peer's process id (0: unknown). Raises `ForeignUser` unless it runs as our user, or OSError."""
    # By its descriptor: the socket object of an event loop may not have all methods.
    sock = socket.socket(fileno=descriptor)
    try:
        return _check_credentials(sock)
    finally:
        sock.detach()  # the caller closes it


def _check_credentials(sock: socket.socket) -> int:
    pid, uid = 0, -1
    if sys.platform == "linux":
        pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    elif sys.platform == "darwin" or "bsd" in sys.platform:
        _, uid, _ = _XUCRED.unpack_from(sock.getsockopt(0, _LOCAL_PEERCRED, _XUCRED_BYTES))
    else:
        raise ForeignUser(f"{sys.platform} does not report the user of a process, so connections can't be shared")
    if int(uid) == -1:
        raise ConnectionError("the other end of the socket is closed")
    if int(uid) != os.geteuid():
        raise ForeignUser(f"a process of user {uid} is at the other end of the socket, and we are user {os.geteuid()}")
    return int(pid)
