"""What the gateway sends: control payloads, and dispatches that are encoded once for everybody."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .._ports import Event, Json

_encode: Final = msgspec.json.Encoder().encode

HEARTBEAT: Final = b'{"t":null,"s":null,"op":1,"d":null}'
HEARTBEAT_ACK: Final = b'{"t":null,"s":null,"op":11,"d":null}'
RECONNECT: Final = b'{"t":null,"s":null,"op":7,"d":null}'

_HIDDEN_FIELDS: Final[dict[str, Any]] = {"content": "", "embeds": [], "attachments": [], "components": []}


def hello(heartbeat_interval: float) -> bytes:
    """Op 10; `heartbeat_interval` in seconds."""
    return _encode({"t": None, "s": None, "op": 10, "d": {"heartbeat_interval": round(heartbeat_interval * 1000)}})


def invalid_session(*, resumable: bool) -> bytes:
    """Op 9."""
    return _encode({"t": None, "s": None, "op": 9, "d": resumable})


class EncodedDispatch:
    """One dispatch, encoded; each session adds its own `s`."""

    __slots__ = ("pattern", "size")

    def __init__(self, name: str, data: Json) -> None:
        head, tail = b'{"t":%b,"s":' % _encode(name), b',"op":0,"d":%b}' % _encode(data)
        self.pattern = b"%b%%d%b" % (head.replace(b"%", b"%%"), tail.replace(b"%", b"%%"))
        """To be formatted with `s`."""
        self.size = len(head) + len(tail)
        """Bytes, without `s`."""

    def frame(self, seq: int) -> bytes:
        """The payload with this sequence number."""
        return self.pattern % seq


class PublishedDispatch:
    """An event on its way to its recipients: both forms of its body are made when the first asks for them."""

    __slots__ = ("_event", "_hidden", "_shown", "audience", "intents", "place")

    def __init__(self, event: Event) -> None:
        self._event = event
        self._shown: EncodedDispatch | None = None
        self._hidden: EncodedDispatch | None = None
        self.intents = event.intents
        self.place = _shard_key(event)
        """The guild's part of its id that decides about the shard; 0: a direct message or one's own."""
        self.audience = _content_readers(event)
        """Who reads the content without the intent; None: everybody, as nothing in it is to be hidden."""

    @property
    def shown(self) -> EncodedDispatch:
        """The body as it is."""
        if self._shown is None:
            self._shown = EncodedDispatch(self._event.name, self._event.data)
        return self._shown

    @property
    def hidden(self) -> EncodedDispatch:
        """The body without the message's content."""
        if self._hidden is None:
            data = self._event.data
            self._hidden = EncodedDispatch(
                self._event.name, data | {key: _HIDDEN_FIELDS[key] for key in _HIDDEN_FIELDS if key in data}
            )
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
