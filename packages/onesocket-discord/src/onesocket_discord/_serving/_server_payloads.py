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


def hide_content(message: JsonObject) -> JsonObject:
    """Copy a message with its content emptied, as a bot without MESSAGE_CONTENT receives it.

    So is that of the message that it replies to, and of those that it forwards.
    """
    hidden = message | {name: empty for name, empty in _CONTENT_FIELDS.items() if name in message}
    if hidden.get("referenced_message"):
        hidden["referenced_message"] = hide_content(hidden["referenced_message"])
    if hidden.get("message_snapshots"):
        hidden["message_snapshots"] = [
            {**one, "message": hide_content(one.get("message") or {})} for one in hidden["message_snapshots"]
        ]
    return hidden


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
