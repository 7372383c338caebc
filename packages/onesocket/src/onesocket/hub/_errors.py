"""What can go wrong with a hub."""

from __future__ import annotations

from ..errors import UsageError


class HubRunning(UsageError):
    """Another process of this machine serves a hub for this connection already."""

    def __init__(self, text: str, *, pid: int) -> None:
        super().__init__(text)
        self.pid = pid


class CannotListen(UsageError):
    """The port is taken, or the path of the Unix socket can't be used."""
