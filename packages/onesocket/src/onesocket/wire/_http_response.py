"""The answers of a server to HTTP requests: a whole response, or the 101 of an upgrade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from ._response_parser import accept_value

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response after which the connection ends."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def text(cls, status: int, text: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Return a response with plain text as its body."""
        return cls(status, text.encode(), {"Content-Type": _TEXT, **(headers or {})})

    def encode(self, *, with_body: bool = True) -> bytes:
        """Return its bytes. `with_body`: False for the answer to a HEAD request."""
        headers = {
            "Date": formatdate(usegmt=True),
            "Content-Length": str(len(self.body)),
            "Cache-Control": "no-store",
            "Connection": "close",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, '')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (self.body if with_body else b"")


def switching_protocols(key: str, *, subprotocol: str | None = None, extensions: str | None = None) -> bytes:
    """Return the 101 (RFC 6455, section 4.2.2) to a request with this Sec-WebSocket-Key."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_value(key)}",
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    if extensions is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")
