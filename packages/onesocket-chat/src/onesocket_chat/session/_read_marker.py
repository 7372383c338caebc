"""Acknowledges shown messages as read, with one request at a time and a pause between requests in each channel."""

from __future__ import annotations

import asyncio
from typing import Final

from ..model._attention_reducers import mark_read
from ._session_context import SessionContext, SessionPart

_ACK_INTERVAL: Final = 0.5
"""Seconds between two requests for one channel: in a busy one, each message is seen as it comes."""


class ReadMarker(SessionPart):
    """Acknowledges the newest displayed message of a channel."""

    def __init__(self, context: SessionContext) -> None:
        super().__init__(context)
        self._seen: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<ReadMarker {self._connection!r}>"

    def seen(self, channel_id: int) -> None:
        """Acknowledge the newest message of this channel."""
        channel = self._store.state.channels.get(channel_id)
        if self._connection.is_connected and self._store.state.is_unread(channel_id) and channel is not None:
            self._seen[channel_id] = channel.last_message_id or 0
            self._background.start(f"read {channel_id}", self._acknowledge(channel_id))

    async def _acknowledge(self, channel_id: int) -> None:
        while (newest := self._seen.pop(channel_id, 0)) > self._store.state.read.get(channel_id, 0):
            if not await self._request_errors.succeeds("read", self._rest.ack(channel_id, newest)):
                return
            self._store.change(lambda state: mark_read(state, channel_id, newest))
            await asyncio.sleep(_ACK_INTERVAL)
