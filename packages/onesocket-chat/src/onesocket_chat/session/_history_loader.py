"""Loads the histories of displayed channels when they are opened, and again after a gap."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Final

from ..model._history import PAGE_SIZE
from ..model._models import Message
from ..model._reducer import extend_history, renew_history
from ._session_context import SessionContext, SessionPart

_MAX_ATTEMPTS: Final = 3
"""Attempts to load a page whose messages changed meanwhile; after a gap there is always another one."""


class HistoryLoader(SessionPart):
    """Keeps the histories of open channels complete."""

    def __init__(self, context: SessionContext) -> None:
        super().__init__(context)
        self._open: Counter[int] = Counter()
        self._refused: set[int] = set()

    def __repr__(self) -> str:
        return f"<HistoryLoader {sorted(+self._open)}>"

    def open(self, channel_id: int) -> None:
        """Count a panel that shows the channel, and load its history."""
        self._open[channel_id] += 1
        self._refused.discard(channel_id)
        self.check()

    def close(self, channel_id: int) -> None:
        """Uncount a panel that showed the channel."""
        self._open[channel_id] -= 1

    def again(self) -> None:
        """Retry failed loads."""
        self._refused.clear()
        self.check()

    def check(self) -> None:
        """Load displayed histories that are stale; called after every change."""
        if not self._connection.is_connected:
            return
        for channel_id in +self._open:
            stale = self._store.state.history(channel_id).is_stale
            if stale and channel_id in self._store.state.channels and channel_id not in self._refused:
                self._background.start(f"load {channel_id}", self._renew(channel_id))

    def older(self, channel_id: int) -> None:
        """Load the page before the oldest message."""
        history = self._store.state.history(channel_id)
        if history.is_stale or history.is_whole or history.is_full or history.oldest is None:
            return
        self._background.start(f"older {channel_id}", self._extend(channel_id, history.oldest))

    async def _renew(self, channel_id: int) -> None:
        for attempt in itertools.count(1):
            state, before = self._store.state, self._store.state.history(channel_id)
            page = await self._page(channel_id)
            if page is None:
                self._refused.add(channel_id)  # until the connection is back, or the channel is opened again
                return
            now = self._store.state
            touched = now.history(channel_id).touched != before.touched and attempt < _MAX_ATTEMPTS
            if not touched and now.gaps == state.gaps:
                self._store.change(lambda state: renew_history(state, channel_id, page, before.newest))  # noqa: B023 - at once
                return

    async def _extend(self, channel_id: int, before: int) -> None:
        page = await self._page(channel_id, before)
        if page is not None:
            self._store.change(lambda state: extend_history(state, channel_id, page, before))

    async def _page(self, channel_id: int, before: int | None = None) -> list[Message] | None:
        request = self._rest.messages(channel_id, before=before, limit=PAGE_SIZE)
        return self._request_errors.read("history", await self._request_errors.guard("history", request), list[Message])
