"""Histories of the channels that are shown: loaded when they are opened, and anew after a gap."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Final

import msgspec

from onesocket import OnesocketError
from onesocket_discord.rest import BadAnswer

from ..model._history import PAGE_SIZE
from ..model._models import Message, from_json
from ..model._reducer import extend_history, renew_history
from ._session_context import SessionContext

_MAX_ATTEMPTS: Final = 3
"""A page is asked for again if something happened to its messages meanwhile, so often; and after a gap in any case."""


class HistoryLoader:
    """Keeps the histories of open channels complete."""

    def __init__(self, shared: SessionContext) -> None:
        self._store = shared.store
        self._rest = shared.rest
        self._connection = shared.connection
        self._background = shared.background
        self._request_errors = shared.request_errors
        self._open: Counter[int] = Counter()
        self._refused: set[int] = set()

    def __repr__(self) -> str:
        return f"<Loader {sorted(+self._open)}>"

    def open(self, channel_id: int) -> None:
        """It is shown (once more)."""
        self._open[channel_id] += 1
        self._refused.discard(channel_id)
        self.check()

    def close(self, channel_id: int) -> None:
        """It is no longer shown (by one of those who did)."""
        self._open[channel_id] -= 1

    def again(self) -> None:
        """Try again what failed."""
        self._refused.clear()
        self.check()

    def check(self) -> None:
        """Load what is shown and stale; for after every change."""
        if not self._connection.is_connected:
            return
        for channel_id in +self._open:
            stale = self._store.state.history(channel_id).is_stale
            if stale and channel_id in self._store.state.channels and channel_id not in self._refused:
                self._background.start(f"load {channel_id}", self._renew(channel_id))

    def older(self, channel_id: int) -> None:
        """Load the page before what is known."""
        history = self._store.state.history(channel_id)
        if history.is_stale or history.is_whole or history.is_full or history.oldest is None:
            return
        self._background.start(f"older {channel_id}", self._extend(channel_id, history.oldest))

    async def _renew(self, channel_id: int) -> None:
        for attempt in itertools.count(1):
            world, before = self._store.state, self._store.state.history(channel_id)
            page = await self._page(channel_id)
            if page is None:
                self._refused.add(channel_id)  # until the line is back, or somebody asks for it
                return
            now = self._store.state
            touched = now.history(channel_id).touched != before.touched and attempt < _MAX_ATTEMPTS
            if not touched and now.gaps == world.gaps:
                self._store.change(lambda world: renew_history(world, channel_id, page, before.newest))  # noqa: B023 - at once
                return

    async def _extend(self, channel_id: int, before: int) -> None:
        page = await self._page(channel_id, before)
        if page is not None:
            self._store.change(lambda world: extend_history(world, channel_id, page, before))

    async def _page(self, channel_id: int, before: int | None = None) -> list[Message] | None:
        try:
            page = await self._rest.messages(channel_id, before=before, limit=PAGE_SIZE)
            messages = from_json(page, list[Message])
        except msgspec.ValidationError as error:
            self._request_errors.failed("history", BadAnswer(f"the history can't be read: {error}", status=200))
        except OnesocketError as error:
            self._request_errors.failed("history", error)
        else:
            self._request_errors.succeeded("history")
            return messages
        return None
