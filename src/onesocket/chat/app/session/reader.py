"""Acknowledges shown messages as read, with one request at a time and a pause between requests in each channel."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec.structs import replace

from .... import OnesocketError
from ..model.world import World
from .shared import Shared

_PAUSE: Final = 0.5
"""Seconds between two requests for one channel: in a busy one, each message is seen as it comes."""


class Reader:
    """Acknowledges the newest message that was seen in a channel."""

    def __init__(self, shared: Shared) -> None:
        self._store = shared.store
        self._rest = shared.rest
        self._line = shared.line
        self._chores = shared.chores
        self._complaints = shared.complaints
        self._seen: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Reader {self._line!r}>"

    def seen(self, channel_id: int) -> None:
        """Everything in this channel was seen."""
        channel = self._store.world.channels.get(channel_id)
        if self._line.is_up and self._store.world.is_unread(channel_id) and channel is not None:
            self._seen[channel_id] = channel.last_message_id or 0
            self._chores.start(f"read {channel_id}", self._acknowledge(channel_id))

    async def _acknowledge(self, channel_id: int) -> None:
        while (newest := self._seen.pop(channel_id, 0)) > self._store.world.read.get(channel_id, 0):
            try:
                await self._rest.ack(channel_id, newest)
            except OnesocketError as error:
                self._complaints.failed("read", error)
                return
            self._complaints.succeeded("read")
            self._store.change(lambda world: _read(world, channel_id, newest))
            await asyncio.sleep(_PAUSE)


def _read(world: World, channel_id: int, message_id: int) -> World:
    return replace(world, read={**world.read, channel_id: max(message_id, world.read.get(channel_id, 0))})
