"""A recorded run with faults, replayed: the same messages, gaps and transitions."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Gap, Json, ReconnectPolicy
from onesocket.errors import OnesocketError
from onesocket.recording import FlightRecorder, Recording, RecordingFile
from onesocket.testing import Fault, FaultyConnection, FaultyServer, MemoryReplay, run_virtual

END = {"n": "end"}


class FaultyFeed:
    """A seeded feed: each connection sends some numbers, some of them malformed, and then fails in its own way."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0
        self.endings = ["close", "drop", "refuse", "busy", "mute", "binary", "utf8", "garbage", "reset", "close 4000"]
        self._random.shuffle(self.endings)
        self._ending = ""

    def choose(self, _: FaultyConnection) -> Fault | None:
        """The fault of the next connection."""
        self._ending = self.endings.pop() if self.endings else "end"
        match self._ending:
            case "refuse":
                return Fault.refuse(503)
            case "busy":
                return Fault.too_many_requests(0)
            case "garbage":
                return Fault.odd_answer(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            case "reset":
                return Fault.reset_during_upgrade()
            case "mute":
                return Fault.no_pong()
            case _:
                return None

    async def serve(self, connection: FaultyConnection) -> None:
        """Send the numbers of a connection, and end it."""
        ending = self._ending
        for _ in range(self._random.randrange(3, 30)):
            self._number += 1
            is_malformed = self._random.random() < 0.1
            await connection.send("{no json" if is_malformed else f'{{"n":{self._number},"pad":"{"x" * 50}"}}')
            if self._random.random() < 0.2:
                await asyncio.sleep(self._random.random() * 0.01)
        match ending:
            case "close":
                connection.close_nowait(1012, "restart")
            case "close 4000":
                connection.close_nowait(4000, "own code")
            case "drop":
                connection.strike(Fault.accept_then_drop())
            case "utf8":
                connection.strike(Fault.invalid_utf8())
            case "binary":
                connection.send_nowait(b"\xff\xfe")
                connection.strike(Fault.accept_then_reset())
            case "end":
                await connection.send('{"n":"end"}')
            case _:
                pass
        async for _ in connection:
            pass


def shown_error(error: OnesocketError | None) -> Any:
    # A stream that breaks the rules is replayed with other bytes, and TCP may end in several ways.
    return None if error is None else (type(error).__name__, getattr(error, "code", None), error.retryable)


async def run(url: str, **options: Any) -> tuple[list[Any], list[Any]]:
    """Read up to the end; returns messages and gaps, and the transitions."""
    client: Client[Any] = Client(
        url,
        protocol=Json(),
        compression="deflate",
        ping_interval=0.05,
        ping_timeout=0.3,
        reconnect=ReconnectPolicy(initial=0.001, cap=0.002, busy_delay=0.001, stable_after=1.0),
        **options,
    )
    changes, stream, seen = client.changes(), client.subscribe(), []
    async with asyncio.timeout(10), client:  # virtual seconds in memory
        async for message in stream:
            if isinstance(message, Gap):
                seen.append((message.reason, message.epoch, message.missed, shown_error(message.error)))
            else:
                seen.append(message)
            if message == END:
                break
    return seen, [(one.old, one.new, one.epoch, one.cause, shown_error(one.error)) async for one in changes]


@pytest.mark.parametrize("seed", range(2))
async def test_a_recorded_run_is_replayed_with_the_same_messages_gaps_and_transitions(
    seed: int, tmp_path: Path
) -> None:
    feed = FaultyFeed(seed)
    while feed.endings[-1] in ("refuse", "busy", "garbage", "reset"):  # a first connect isn't repeated
        feed.endings.insert(0, feed.endings.pop())
    with RecordingFile(tmp_path / "soak.jsonl") as sink:
        async with FaultyServer(faults=feed.choose, handler=feed.serve, compression="deflate") as server:
            recorded = await run(server.url, recorder=FlightRecorder(sink=sink, redact=False))
    recording = Recording.load(sink.path)
    assert len({entry[1] for entry in recorded[0] if isinstance(entry, tuple)}) >= 5  # gaps of so many connections

    transport = MemoryReplay(recording).transport()
    assert await asyncio.to_thread(run_virtual, lambda: run("ws://replay.example/", transport=transport)) == recorded

    async with FaultyServer.replay(recording, speed=5) as replayed:
        assert await run(replayed.url) == recorded
        assert replayed.counts.most_sockets == 1
