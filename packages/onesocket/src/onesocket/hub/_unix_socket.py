"""A listening Unix socket whose connections picows can have: it sets TCP options on whatever it gets."""

from __future__ import annotations

import socket
from typing import Any

from .._forking import FORK_LOCK, ForkSafeSocket


class UnixStream(ForkSafeSocket):
    """A connection on which TCP options are set without effect."""

    def setsockopt(self, level: int, *rest: Any) -> None:
        """TCP's are let go."""
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *rest)

    def getsockopt(self, level: int, *rest: Any) -> Any:
        """TCP's are 0."""
        untyped: Any = super()
        return 0 if level == socket.IPPROTO_TCP else untyped.getsockopt(level, *rest)


class UnixListener(ForkSafeSocket):
    """Accepts such connections."""

    def accept(self) -> tuple[UnixStream, Any]:
        """The next one."""
        with FORK_LOCK:
            connection, address = super().accept()
            return UnixStream(fileno=connection.detach()), address
