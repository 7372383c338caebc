"""The answer of an HTTP proxy to CONNECT."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from onesocket.transports._tunnel import MalformedResponse, Tunnel
from onesocket.wire._response_head import ResponseHead


class _RecordingTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        self.written += bytes(data)


async def head_of(*pieces: bytes) -> tuple[ResponseHead, bytes]:
    """The parsed head of a response that comes in these pieces, and the bytes left behind it."""
    tunnel = Tunnel()
    asked = asyncio.ensure_future(tunnel.request_connect(_RecordingTransport(), "localhost:1", None))
    await asyncio.sleep(0)
    for piece in pieces:
        tunnel.data_received(piece)
    return await asked, tunnel.take_early()


@pytest.mark.parametrize("status", [b"9" * 5000, b"99", b"2000", b"-12", b"x", b""], ids=lambda status: status[:5])
async def test_a_status_that_is_none_is_no_answer(status: bytes) -> None:
    with pytest.raises(MalformedResponse, match="not HTTP"):
        await head_of(b"HTTP/1.1 " + status + b" Fine\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 299 \r\nVia: 1.1 squid\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 60_000 + b"\r\n\r\n",
    ],
    ids=lambda answer: answer[:40],
)
@pytest.mark.parametrize("split", [False, True])
async def test_every_form_of_2xx_is_taken_and_what_follows_is_kept(answer: bytes, split: bool) -> None:
    """Headers for a body mean nothing in a 2xx to CONNECT (RFC 9110, section 9.3.6)."""
    whole = answer + b"\x16\x03"
    pieces: Iterable[bytes] = (whole[place : place + 1] for place in range(len(whole))) if split else [whole]
    head, early = await head_of(*pieces)
    assert 200 <= head.status < 300
    assert early == b"\x16\x03"


async def test_the_headers_of_a_refusal_are_read() -> None:
    head, _ = await head_of(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n<html>")
    assert (head.status, dict(head.headers)) == (503, {"retry-after": "7"})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (b"\x05\xff", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "longer than 65536 bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, "longer than 65536 bytes"),
    ],
    ids=lambda answer: answer[:20],
)
async def test_what_is_no_answer_is_said_at_once(answer: bytes, why: str) -> None:
    with pytest.raises(MalformedResponse, match=why):
        await head_of(answer)


async def test_the_end_of_the_stream_is_no_answer() -> None:
    tunnel = Tunnel()
    transport = _RecordingTransport()
    asked = asyncio.ensure_future(tunnel.request_connect(transport, "[::1]:443", "Basic eDp5"))
    await asyncio.sleep(0)
    tunnel.data_received(b"HTTP/1.1 20")
    tunnel.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await asked
    request = transport.written.decode().split("\r\n")
    assert request[:2] == ["CONNECT [::1]:443 HTTP/1.1", "Host: [::1]:443"]
    assert "Proxy-Authorization: Basic eDp5" in request
    assert request[-2:] == ["", ""]
