"""Payloads for clients: control payloads, and dispatches whose body is encoded once for all sessions."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..protocol.models import JsonObject

_encode: Final = msgspec.json.Encoder().encode

# All four keys on every payload: some libraries insist on them.
HEARTBEAT: Final = b'{"t":null,"s":null,"op":1,"d":null}'
HEARTBEAT_ACK: Final = b'{"t":null,"s":null,"op":11,"d":null}'
RECONNECT: Final = b'{"t":null,"s":null,"op":7,"d":null}'

_CONTENT_FIELDS: Final[JsonObject] = {"content": "", "embeds": [], "attachments": [], "components": []}


def hello(heartbeat_interval: float) -> bytes:
    """Op 10; `heartbeat_interval` in seconds."""
    return _encode({"t": None, "s": None, "op": 10, "d": {"heartbeat_interval": round(heartbeat_interval * 1000)}})


def invalid_session(*, resumable: bool) -> bytes:
    """Op 9."""
    return _encode({"t": None, "s": None, "op": 9, "d": resumable})


def content_readers(message: JsonObject) -> frozenset[str]:
    """The ids of those who may read a message of a guild without MESSAGE_CONTENT: its author, and who is mentioned."""
    author: JsonObject = message.get("author") or {}
    mentions: list[JsonObject] = message.get("mentions") or []
    users = (author, *mentions)
    return frozenset(str(user.get("id")) for user in users)


def content_for(message: JsonObject, user_id: str, *, in_dm: bool = False) -> JsonObject:
    """Return a message as the bot `user_id` without MESSAGE_CONTENT may read it; the same if it may all.

    In a guild its content, and that of the message that it replies to, are hidden except from their authors and from
    who is mentioned in them. What it forwards is hidden from all: whose it was isn't told, and a bot could forward
    anything. In a direct message that alone is hidden, if a bot has forwarded it.
    """
    shown = message
    if not in_dm and user_id not in content_readers(message):
        shown = _without_content(message)
    replied_to = message.get("referenced_message")
    if replied_to:
        shown_reply = content_for(replied_to, user_id, in_dm=in_dm)
        if shown_reply is not replied_to:
            shown = {**shown, "referenced_message": shown_reply}
    author: JsonObject = message.get("author") or {}
    if message.get("message_snapshots") and (not in_dm or author.get("bot")):
        forwarded = (
            {**one, "message": _without_content(one.get("message") or {})} for one in message["message_snapshots"]
        )
        shown = {**shown, "message_snapshots": list(forwarded)}
    return shown


def _without_content(message: JsonObject) -> JsonObject:
    return message | {name: empty for name, empty in _CONTENT_FIELDS.items() if name in message}


class EncodedDispatch:
    """One dispatch, encoded; each session adds its own `s`. `data`: the body, or a `msgspec.Raw` of its JSON."""

    __slots__ = ("pattern", "size")

    def __init__(self, name: str, data: Any) -> None:
        head, tail = b'{"t":%b,"s":' % _encode(name), b',"op":0,"d":%b}' % _encode(data)
        self.pattern = b"%b%%d%b" % (head.replace(b"%", b"%%"), tail.replace(b"%", b"%%"))
        """To be formatted with `s`."""
        self.size = len(head) + len(tail)
        """Bytes, without `s`."""

    @classmethod
    def from_pattern(cls, pattern: bytes) -> EncodedDispatch:
        """The dispatch with this `pattern`, encoded by another process."""
        dispatch = cls.__new__(cls)
        dispatch.pattern = pattern
        dispatch.size = len(pattern)
        return dispatch

    def payload(self, seq: int) -> bytes:
        """The payload with this sequence number."""
        return self.pattern % seq


RESUMED: Final = EncodedDispatch("RESUMED", {"_trace": []})
