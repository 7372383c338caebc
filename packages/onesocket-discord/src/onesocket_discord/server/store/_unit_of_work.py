"""One operation inside a transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

log = logging.getLogger("onesocket_discord.server")


class UnitOfWork:
    """The connection to work on, and what is to be done once the outcome is certain."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self._kept: list[Callable[[], None]] = []
        self._undone: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call this when everything is on disk, in the order of the commits."""
        self._kept.append(callback)

    def on_rollback(self, callback: Callable[[], None]) -> None:
        """Call this if nothing of it came to be."""
        self._undone.append(callback)

    def committed(self) -> None:
        """For the writer: it is on disk, whatever becomes of those who are told."""
        for callback in self._kept:
            try:
                callback()
            except Exception:
                log.exception("something was stored, but not everybody could be told")

    def rolled_back(self) -> None:
        """For the writer: it never was."""
        for callback in self._undone:
            callback()
