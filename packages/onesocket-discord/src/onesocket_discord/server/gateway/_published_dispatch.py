"""One published event in the two forms in which sessions receive it."""

from __future__ import annotations

from ..._serving._server_payloads import EncodedDispatch, hide_content
from .._ports import Event


class PublishedDispatch:
    """An event for its recipients; each form of its body is encoded when the first session needs it."""

    __slots__ = ("_event", "_hidden", "_shown", "audience", "intents", "shard_key")

    def __init__(self, event: Event) -> None:
        self._event = event
        self._shown: EncodedDispatch | None = None
        self._hidden: EncodedDispatch | None = None
        self.intents = int(event.intents)  # & of an IntFlag is slow
        self.shard_key = _shard_key(event)
        """Modulo the number of shards it gives the shard; 0 for events without a guild."""
        self.audience = _content_readers(event)
        """The users who may read the content without MESSAGE_CONTENT; None: all users."""

    @property
    def shown(self) -> EncodedDispatch:
        """The whole body."""
        if self._shown is None:
            self._shown = EncodedDispatch(self._event.name, self._event.data)
        return self._shown

    @property
    def hidden(self) -> EncodedDispatch:
        """The body with the message's content hidden."""
        if self._hidden is None:
            self._hidden = EncodedDispatch(self._event.name, hide_content(self._event.data))
        return self._hidden


def _shard_key(event: Event) -> int:
    guild = event.data.get("guild_id")
    if guild is None and event.name in {"GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE"}:
        guild = event.data.get("id")
    return int(guild) >> 22 if guild is not None else 0


def _content_readers(event: Event) -> frozenset[int] | None:
    if event.content_of is None or event.data.get("guild_id") is None:
        return None
    return frozenset((event.content_of, *(int(user["id"]) for user in event.data.get("mentions", ()))))
