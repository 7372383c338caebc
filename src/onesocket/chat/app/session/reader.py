"""What is shown counts as read: the server is told, one request at a time in each channel."""

from __future__ import annotations

from msgspec.structs import replace

from .... import OnesocketError
from ..model.world import World
from .shared import Shared


class Reader:
    """Acknowledges the newest message of a channel."""

    def __init__(self, shared: Shared) -> None:
        self._store = shared.store
        self._rest = shared.rest
        self._line = shared.line
        self._chores = shared.chores
        self._complaints = shared.complaints

    def __repr__(self) -> str:
        return f"<Reader {self._line!r}>"

    def seen(self, channel_id: int) -> None:
        """Everything in this channel was seen."""
        if self._line.is_up and self._store.world.is_unread(channel_id):
            self._chores.start(f"read {channel_id}", self._acknowledge(channel_id))

    async def _acknowledge(self, channel_id: int) -> None:
        channel = self._store.world.channels.get(channel_id)
        if channel is None or channel.last_message_id is None:
            return
        newest = channel.last_message_id
        try:
            await self._rest.ack(channel_id, newest)
        except OnesocketError as error:
            self._complaints.failed("read", error)
        else:
            self._complaints.succeeded("read")
            self._store.change(lambda world: _read(world, channel_id, newest))


def _read(world: World, channel_id: int, message_id: int) -> World:
    return replace(world, read={**world.read, channel_id: max(message_id, world.read.get(channel_id, 0))})
