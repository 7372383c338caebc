"""What the hub sends: control payloads, and dispatches whose body is encoded once for all."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode

# All four keys on every payload: some libraries insist on them.
HEARTBEAT_ACK: Final = b'{"t":null,"s":null,"op":11,"d":null}'
RECONNECT: Final = b'{"t":null,"s":null,"op":7,"d":null}'
INVALID_SESSION: Final = b'{"t":null,"s":null,"op":9,"d":false}'


def hello(heartbeat_interval: float) -> bytes:
    """Op 10; `heartbeat_interval` in seconds."""
    return _encode({"t": None, "s": None, "op": 10, "d": {"heartbeat_interval": round(heartbeat_interval * 1000)}})


class FrontendDispatch:
    """One dispatch; each session adds its own `s`."""

    __slots__ = ("_head", "_tail", "size")

    def __init__(self, event: str, data: bytes) -> None:
        self._head = b'{"t":%b,"s":' % _encode(event)
        self._tail = b',"op":0,"d":%b}' % data
        self.size = len(self._head) + len(self._tail)
        """Bytes, without `s`."""

    @classmethod
    def of(cls, event: str, data: Any) -> FrontendDispatch:
        """From plain objects."""
        return cls(event, _encode(data))

    def payload(self, seq: int) -> bytes:
        """With this sequence number."""
        return b"%b%d%b" % (self._head, seq, self._tail)
