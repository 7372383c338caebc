"""The first protocol of a byte stream: it keeps early bytes, and connects through an HTTP proxy."""

from __future__ import annotations

import asyncio
from typing import Final

from python_socks import ProxyError

_HEAD_END: Final = b"\r\n\r\n"
# Bytes of the response to CONNECT, which has a few lines.
_MAX_HEAD: Final = 65_536


class Tunnel(asyncio.Protocol):
    """Keeps received bytes until they are taken, and speaks HTTP CONNECT (RFC 9110, section 9.3.6)."""

    def __init__(self) -> None:
        self._early = bytearray()
        self._answer: asyncio.Future[None] | None = None

    def take_early(self) -> bytes:
        """Return the bytes received so far, once."""
        early = bytes(self._early)
        self._early.clear()
        return early

    async def request_connect(self, transport: asyncio.Transport, authority: str, authorization: str | None) -> None:
        """Make the proxy connect to `authority` (host:port). Raises `ProxyError`, or the socket's exception."""
        if transport.is_closing():
            raise ProxyError("it ended the connection before it was asked")
        self._answer = asyncio.get_running_loop().create_future()
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if authorization is not None:
            lines.append(f"Proxy-Authorization: {authorization}")
        transport.write("\r\n".join([*lines, "", ""]).encode("ascii"))
        await self._answer

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio calls this)."""
        self._early += data
        if self._answer is None or self._answer.done():
            return
        end = self._early.find(_HEAD_END)
        if end < 0:
            if len(self._early) > _MAX_HEAD:
                self._answer.set_exception(ProxyError("its answer is too long"))
            return
        parts = bytes(self._early[:end]).split(b"\r\n", 1)[0].split(b" ", 2)
        del self._early[: end + len(_HEAD_END)]
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not _is_status(parts[1]):
            self._answer.set_exception(ProxyError("its answer is not HTTP"))
        elif 200 <= int(parts[1]) < 300:
            self._answer.set_result(None)
        else:
            self._answer.set_exception(ProxyError(f"it answered with HTTP {int(parts[1])}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the stream (asyncio calls this)."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ProxyError("it ended the connection before it answered"))


def _is_status(text: bytes) -> bool:
    return len(text) == 3 and text.isdigit()
