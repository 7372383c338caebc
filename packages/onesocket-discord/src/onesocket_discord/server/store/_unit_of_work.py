"""The context of one operation inside a transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

log = logging.getLogger("onesocket_discord.server")


class UnitOfWork:
    """A connection, and callbacks for the commit or rollback of the operation."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.execute, self.scalar, self.scalars = connection.execute, connection.scalar, connection.scalars
        self.outgoing: list[bytes] = []
        """Events for all servers that share the database, stored by the commit."""
        self._on_commit: list[Callable[[], None]] = []
        self._on_rollback: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` after the commit, in the order of the commits."""
        self._on_commit.append(callback)

    def on_rollback(self, callback: Callable[[], None]) -> None:
        """Call `callback` after a rollback."""
        self._on_rollback.append(callback)

    def committed(self) -> None:
        """Run the commit callbacks; called by the writer."""
        for callback in self._on_commit:
            try:
                callback()
            except Exception:
                log.exception("a callback after a commit failed")

    def rolled_back(self) -> None:
        """Run the rollback callbacks; called by the writer."""
        for callback in self._on_rollback:
            callback()
