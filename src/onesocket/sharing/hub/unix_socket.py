"""A listening Unix socket whose connections picows can have: it sets TCP options on whatever it gets."""

from __future__ import annotations

import socket
from typing import Any

from ...forking import BARRIER, GuardedSocket


class UnixStream(GuardedSocket):
    """A connection on which TCP options are set without effect."""

    def setsockopt(self, level: int, *rest: Any) -> None:
        """TCP's are let go."""
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *rest)

    def getsockopt(self, level: int, *rest: Any) -> Any:
        """TCP's are 0."""
        untyped: Any = super()
        return 0 if level == socket.IPPROTO_TCP else untyped.getsockopt(level, *rest)


class UnixListener(GuardedSocket):
    """Accepts such connections."""

    def accept(self) -> tuple[UnixStream, Any]:
        """The next one."""
        with BARRIER:
            connection, address = super().accept()
            return UnixStream(fileno=connection.detach()), address
