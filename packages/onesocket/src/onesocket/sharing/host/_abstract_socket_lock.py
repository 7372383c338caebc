"""Second lock of an owner, which no clean-up of files can remove: a name in the kernel's own list of sockets.

Only Linux has such names (abstract Unix sockets). Elsewhere the lock file decides alone.

The name belongs to a network namespace, the lock file to a file system: in containers that share one but not the other,
the lock file decides. Connecting to the name notifies the owner, and shows its user; nothing is sent.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Final

from ...errors import ForeignUser
from ._peer_credentials import check_peer_user

_BACKLOG: Final = 128


class AbstractSocketLock:
    """Lock that is held from `claim` to `close`, or to the death of the process."""

    def __init__(self, sock: socket.socket | None) -> None:
        self.socket = sock
        """Socket to which a notifying process connects. None: no such lock, or another user's process has its name."""

    def __repr__(self) -> str:
        return f"<AbstractSocketLock {'held' if self.socket is not None else 'none'}>"

    @classmethod
    def claim(cls, name: str) -> AbstractSocketLock | None:
        """Take the lock. Returns None if a process of this user has it, which is notified then. Raises OSError."""
        if sys.platform != "linux":
            return cls(None)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(0)
            sock.bind(name)
            sock.listen(_BACKLOG)
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRINUSE:
                raise
            # Another user's process can take the name, which must not keep this user from its connection.
            return cls(None) if _is_held_by_user(name) is False else None
        return cls(sock)

    def close(self) -> None:
        """Release the lock. Idempotent."""
        sock, self.socket = self.socket, None
        if sock is not None:
            sock.close()


def notify_holder(name: str) -> bool:
    """Ask the process that holds the name to check its files. Returns False if no process of this user holds it."""
    return sys.platform == "linux" and _is_held_by_user(name) is True


def _is_held_by_user(name: str) -> bool | None:
    """True if a process of this user holds the name, False if one of another user does; None if it can't be asked."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(0)
            sock.connect(name)
            check_peer_user(sock.fileno())
    except BlockingIOError:  # its queue is full
        return True
    except ForeignUser:
        return False
    except OSError:
        return None
    return True
