"""A server in a thread of its own that counts connections as it accepts them: it never sees two of one client."""

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from typing import Any, Self

import pytest

from onesocket import Client, ReconnectPolicy, State
from onesocket.testing import ThreadedServer

DEADLINE = 30.0
LOST = 10
TIMES: dict[str, Any] = {"ping_interval": 0.05, "ping_timeout": 0.05, "close_timeout": 0.1}


class AcceptingServer:
    """Accepts the upgrade, answers nothing afterwards, and counts the connections from accept to their end.

    `farewell`: bytes that each connection gets behind the answer to its upgrade.
    """

    farewell = b""

    def __init__(self) -> None:
        self.open = self.most = self.accepted = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            key = next(
                row.split(b": ")[1] for row in head.split(b"\r\n") if row.lower().startswith(b"sec-websocket-key")
            )
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 - RFC 6455
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + self.farewell
            )
            while await reader.read(4096):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture
def server() -> Iterator[AcceptingServer]:
    with ThreadedServer(AcceptingServer()) as threaded:
        yield threaded.server


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("cause", ["ping timeout", "reconnect"])
async def test_the_next_connection_comes_after_the_reset_of_the_last(
    server: AcceptingServer, cause: str, compression: Any
) -> None:
    policy = ReconnectPolicy(initial=0.001, cap=0.001)
    client = Client(server.url, reconnect=policy, compression=compression, **TIMES)
    async with asyncio.timeout(DEADLINE):
        await client.connect()
        while client.epoch <= LOST:
            if cause == "reconnect":
                await client.reconnect()
            else:
                await client.wait_for(State.CLOSING)
                await client.wait_for(State.CONNECTED)
        await client.aclose()
    assert server.accepted > LOST
    assert server.most == 1


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_the_next_connection_comes_after_the_answer_to_a_close(server: AcceptingServer, compression: Any) -> None:
    """The server says CLOSE and leaves it to the client to end TCP."""
    server.farewell = b"\x88\x02\x03\xf4"  # 1012: it restarts
    policy = ReconnectPolicy(initial=0.001, cap=0.001)
    client = Client(server.url, reconnect=policy, compression=compression, close_timeout=5.0)
    async with asyncio.timeout(DEADLINE):
        await client.connect()
        while client.epoch <= LOST:
            await client.wait_for(State.BACKING_OFF)
            await client.wait_for(State.CONNECTED)
        await client.aclose()
    assert server.accepted > LOST
    assert server.most == 1
