"""Reading from a consumer of NATS whose server drops messages of the stream while it pushes them. Without a server."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from onesocket.errors import EngineUnavailable
from onesocket.sharing.cluster._nats_connection import NatsMessage
from onesocket.sharing.cluster._nats_reader import NatsReader


class PushingServer:
    """The client and its connection at once: tells how many messages are held, and pushes what a test says."""

    is_lost = False

    def __init__(self, held: int, *at_once: NatsMessage) -> None:
        """`at_once`: pushed before the answer to the creation of the consumer."""
        self.held = held
        self.at_once = at_once
        self.watchers: set[Callable[[], None]] = set()
        self.push: Callable[[NatsMessage], None] = lambda _: None
        self.connection = self

    async def subscribe(self, callback: Callable[[NatsMessage], None]) -> tuple[str, object]:
        self.push = callback
        return "inbox", object()

    async def unsubscribe(self, subscription: object) -> None:
        self.is_lost = True

    async def ask(self, *_: Any) -> dict[str, Any]:
        for each in self.at_once:
            self.push(each)
        return {"delivered": {"consumer_seq": 0}, "num_pending": self.held}


def message(sequence: int, number: int, pending: int) -> NatsMessage:
    """The `number`th message of the consumer."""
    return NatsMessage("feed", b"x", {}, f"$JS.ACK.stream.consumer.1.{sequence}.{number}.1795989914026656.{pending}")


def heartbeat(last: int) -> NatsMessage:
    return NatsMessage("inbox", b"", {"Status": "100", "Nats-Last-Consumer": str(last), "Nats-Last-Stream": "9"})


async def opened(server: PushingServer) -> NatsReader:
    client: Any = server
    reader = NatsReader(client, "stream")
    await reader.open(0, ("feed",))
    return reader


async def read(reader: NatsReader) -> list[int]:
    return [each.sequence for each in await reader.read(0, 100)]


async def test_messages_are_not_held_back_for_those_that_were_dropped_meanwhile() -> None:
    server = PushingServer(3)
    reader = await opened(server)
    server.push(message(7, 1, 2))
    server.push(message(9, 2, 0))  # 8 is gone
    assert await read(reader) == [7, 9]
    assert await read(reader) == []


async def test_a_heartbeat_ends_the_wait_for_messages_that_were_dropped_meanwhile() -> None:
    server = PushingServer(2)
    reader = await opened(server)
    server.push(heartbeat(0))
    assert await read(reader) == []
    server.push(message(10, 1, 0))
    assert await read(reader) == [10]


async def test_a_heartbeat_tells_of_messages_that_did_not_come() -> None:
    server = PushingServer(1)
    reader = await opened(server)
    server.push(message(1, 1, 0))
    server.push(heartbeat(2))
    assert await read(reader) == [1]
    with pytest.raises(EngineUnavailable, match="consumer"):
        await read(reader)
    assert not reader.is_open


@pytest.mark.parametrize("left", [0, 1])
async def test_messages_that_come_before_the_answer_are_among_those_that_it_counts(left: int) -> None:
    server = PushingServer(2, message(5, 1, 1), message(6, 2, left))
    assert await read(await opened(server)) == [5, 6]


async def test_all_that_the_stream_held_is_awaited() -> None:
    server = PushingServer(2)
    reader = await opened(server)
    server.push(message(5, 1, 1))
    reading = asyncio.ensure_future(read(reader))
    await asyncio.sleep(0)
    server.push(message(6, 2, 0))
    assert await reading == [5, 6]
