"""One published event in the forms in which sessions receive it."""

from __future__ import annotations

from ..._serving._server_payloads import EncodedDispatch, content_for, content_readers
from .._ports import Event, Json


class PublishedDispatch:
    """An event for its recipients; each form of its body is encoded when the first session needs it."""

    __slots__ = ("_event", "_forms", "_readers", "_shown", "hides_content", "intents", "is_guild", "shard_key")

    def __init__(self, event: Event) -> None:
        self._event = event
        self._shown: EncodedDispatch | None = None
        self._forms: dict[tuple[bool, ...], EncodedDispatch] = {}
        """By whether the reader may read the message, and the one that it replies to."""
        self._readers: tuple[frozenset[str], ...] | None = None
        self.intents = int(event.intents)  # & of an IntFlag is slow
        self.shard_key = _shard_key(event)
        """Modulo the number of shards it gives the shard; 0 for events without a guild."""
        self.hides_content = event.content_of is not None
        """True for a message that bots without MESSAGE_CONTENT may not read as it is."""
        self.is_guild = event.name == "GUILD_CREATE"
        """True for a guild, of which each session may see other parts."""

    @property
    def data(self) -> Json:
        """The whole body, not encoded."""
        return self._event.data

    @property
    def shown(self) -> EncodedDispatch:
        """The whole body."""
        if self._shown is None:
            self._shown = EncodedDispatch(self._event.name, self._event.data)
        return self._shown

    def form_for(self, user_id: int) -> EncodedDispatch:
        """The body that a bot without MESSAGE_CONTENT may read."""
        data, reader = self._event.data, str(user_id)
        if self._readers is None:
            replied_to = data.get("referenced_message")
            self._readers = tuple(content_readers(one) for one in (data, replied_to) if one)
        key = tuple(reader in each for each in self._readers)
        form = self._forms.get(key)
        if form is None:
            body = content_for(data, reader, in_dm=data.get("guild_id") is None)
            form = self._forms[key] = self.shown if body is data else EncodedDispatch(self._event.name, body)
        return form


def _shard_key(event: Event) -> int:
    guild = event.data.get("guild_id")
    if guild is None and event.name in {"GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE"}:
        guild = event.data.get("id")
    return int(guild) >> 22 if guild is not None else 0
