"""Loads the histories of displayed channels when they are opened, and again after a gap."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Final

from ..model._history import PAGE_SIZE, ChannelHistory
from ..model._models import Message
from ..model._reducer import aim_history, append_history, extend_history, renew_history
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
        if history.is_stale or history.is_whole or history.oldest is None:
            return
        self._background.start(f"older {channel_id}", self._extend(channel_id, history.oldest))

    def newer(self, channel_id: int) -> None:
        """Load the page after the newest loaded message, if the history is anchored far back."""
        history = self._store.state.history(channel_id)
        if not history.is_stale and history.anchor is not None:
            self._background.start(f"newer {channel_id}", self._append(channel_id, history))

    def aim(self, channel_id: int, anchor: int | None) -> None:
        """Load the messages around this one, or for None the newest ones, unless they are there."""
        history = self._store.state.history(channel_id)
        is_there = history.anchor is None if anchor is None else history.find(anchor) is not None
        if not is_there:
            self._refused.discard(channel_id)
            self._store.change(lambda state: aim_history(state, channel_id, anchor))

    async def _renew(self, channel_id: int) -> None:
        for attempt in itertools.count(1):
            state, before = self._store.state, self._store.state.history(channel_id)
            page = await self._page(channel_id, around=before.anchor)
            if page is None:
                self._refused.add(channel_id)  # until the connection is back, or the channel is opened again
                return
            now = self._store.state
            if now.history(channel_id).anchor != before.anchor:
                continue  # the reader went elsewhere
            touched = now.history(channel_id).touched != before.touched and attempt < _MAX_ATTEMPTS
            if not touched and now.gaps == state.gaps:
                self._store.change(lambda state: renew_history(state, channel_id, page, before.newest))  # noqa: B023 - at once
                return

    async def _extend(self, channel_id: int, before: int) -> None:
        page = await self._page(channel_id, before=before)
        if page is not None:
            self._store.change(lambda state: extend_history(state, channel_id, page, before))

    async def _append(self, channel_id: int, before: ChannelHistory) -> None:
        page = await self._page(channel_id, after=before.newest)
        if page is not None:
            self._store.change(lambda state: append_history(state, channel_id, page, before))

    async def _page(self, channel_id: int, **place: int | None) -> list[Message] | None:
        """A page ``before``, ``after`` or ``around`` a message, or else the newest one."""
        request = self._rest.messages(channel_id, limit=PAGE_SIZE, **place)
        return self._request_errors.read("history", await self._request_errors.guard("history", request), list[Message])
