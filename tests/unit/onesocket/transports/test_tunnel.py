"""The answer of an HTTP proxy to CONNECT."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from python_socks import ProxyError

from onesocket.transports._tunnel import Tunnel


class _RecordingTransport(asyncio.Transport):
    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        assert bytes(data).startswith(b"CONNECT ")


@pytest.mark.parametrize("status", [b"9" * 5000, b"99", b"2000", b"-12", b"x", b""], ids=lambda status: status[:5])
def test_a_status_that_is_none_is_a_proxy_error(status: bytes) -> None:
    async def test() -> None:
        tunnel = Tunnel()
        asked = asyncio.ensure_future(tunnel.request_connect(_RecordingTransport(), "localhost:1", None))
        await asyncio.sleep(0)
        tunnel.data_received(b"HTTP/1.1 " + status + b" Fine\r\n\r\n")
        with pytest.raises(ProxyError, match="not HTTP"):
            await asked

    asyncio.run(test())
