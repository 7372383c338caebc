"""Messages, PINGs, limits and back-pressure, both ways."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from ...errors import MessageTooBig
from ...wire._handshake import Data
from .._test_peer import PeerFeature
from .check import CheckContext, CheckFunction, CheckRegistry, expect, expect_equal

CHECKS: Final = CheckRegistry()
_SAMPLES: Final[tuple[Data, ...]] = ("text ☃", b"\x00\xff", "", b"", "x" * 70_000, b"y" * 1_000_000)
_NOISE: Final = random.Random(0).randbytes(1000)
_BLOCK: Final = random.Random(1).randbytes(500_000)  # noise, as nothing else stays as long when it is compressed
# More than any kernel buffers on loopback; a transport that doesn't say that it is full is found out by it.
_MOST_BLOCKS: Final = 400


@CHECKS.add()
async def messages_arrive_whole_and_in_order_both_ways(bench: CheckContext) -> None:
    line = await bench.open()
    seen = line.connection.activity
    bench.peer.send(*_SAMPLES)
    await line.until(lambda: len(line.messages) == len(_SAMPLES))
    expect_equal(line.messages, list(_SAMPLES), "what came")
    for message in _SAMPLES:
        line.connection.send(message)
    await bench.peer.until(lambda: len(bench.peer.received) == len(_SAMPLES))
    expect_equal(bench.peer.received, list(_SAMPLES), "what the other side got")
    expect(line.connection.activity > seen, "frames that came are evidence of life")


@CHECKS.add()
async def a_burst_does_not_starve_the_loop(bench: CheckContext) -> None:
    line = await bench.open()
    burst = [f"{number}" for number in range(5000)]
    bench.peer.send(*burst)
    await line.until(lambda: len(line.messages) == len(burst))
    expect_equal(line.messages, burst, "what came")  # that a turn has its limit, every line is watched for


@CHECKS.add()
async def set_receiver_takes_over_at_once(bench: CheckContext) -> None:
    line = await bench.open()
    other: list[Data] = []

    def first(_: Data) -> None:
        line.connection.set_receiver(other.append)

    line.on_message = first
    bench.peer.send(*"abc")
    bench.peer.send("d")
    await line.until_polled(lambda: len(other) == 3)
    expect_equal((line.messages, other), (["a"], ["b", "c", "d"]), "who got what")


@CHECKS.add()
async def a_ping_is_answered_by_a_pong(bench: CheckContext) -> None:
    line = await bench.open()
    seen = line.connection.activity
    line.connection.ping(b"")
    line.connection.ping(b"x" * 125)
    await line.until(lambda: len(line.pongs) == 2)
    expect_equal(line.pongs, [b"", b"x" * 125], "the PONGs")
    expect(line.connection.activity > seen, "a PONG is evidence of life")


@CHECKS.add(PeerFeature.PEER_PINGS)
async def pings_of_the_peer_are_answered(bench: CheckContext) -> None:
    line = await bench.open()
    connection = bench.peer.server.connections[0]
    connection.write_raw(b"\x89\x02hi" * 10_000)
    await connection.ping()
    expect(line.is_open, "a flood of PINGs has ended it")


# --- limits ---------------------------------------------------------------------------------------------------------


def _limit(longest: Data, too_long: Data) -> CheckFunction:
    async def body(bench: CheckContext) -> None:
        line = await bench.open(max_size=999)
        bench.peer.send(longest)
        await line.until(lambda: len(line.messages) == 1)
        bench.peer.send(too_long)
        await line.until(lambda: line.violation is not None or line.is_over)
        await bench.peer.until(lambda: bench.peer.close_codes == [MessageTooBig.code])
        line.connection.abort()
        error = line.violation or await line.end()
        expect_equal(type(error), MessageTooBig, "the error")
        expect_equal(line.messages, [longest], "what was handed over")

    return body


CHECKS.add_named("the size limit holds for bytes", _limit(b"x" * 999, b"x" * 1000))
CHECKS.add_named("the size limit counts bytes of text", _limit("☃" * 333, "☃" * 334))
CHECKS.add_named("the size limit holds for what can be compressed", _limit(b"x" * 999, b"x" * 1_000_000))
# Compressed, the longest message is longer than the limit.
CHECKS.add_named("the size limit is not that of compressed bytes", _limit(_NOISE[:999], _NOISE[:1000]))


# --- back-pressure --------------------------------------------------------------------------------------------------


@CHECKS.add()
async def a_pause_holds_everything_back_until_it_is_resumed(bench: CheckContext) -> None:
    line = await bench.open()
    sent = [f"{number}" for number in range(1000)]

    def pause_at_3(message: Data) -> None:
        if message == "3":
            line.pause()

    line.on_message = pause_at_3
    bench.peer.send(*sent)
    await line.until(lambda: "3" in line.messages)
    for _ in range(50):
        await asyncio.sleep(0)
    expect_equal(len(line.messages), 4, "messages in spite of the pause")
    line.pause()
    line.resume()
    line.pause()
    for _ in range(50):
        await asyncio.sleep(0)
    expect_equal(len(line.messages), 4, "messages after a resume that was taken back")
    line.resume()
    await line.until(lambda: len(line.messages) == len(sent))
    expect_equal(line.messages, sent, "what came in the end")


@CHECKS.add(PeerFeature.PRESSURE)
async def a_pause_is_felt_by_the_peer(bench: CheckContext) -> None:
    line = await bench.open()
    line.pause()
    connection = bench.peer.server.connections[0]
    sent = 0
    while sent < _MOST_BLOCKS:
        sent += 1
        try:
            async with asyncio.timeout(0.3):
                await connection.send(sent.to_bytes(4, "big") + _BLOCK)
        except TimeoutError:
            break
    expect(sent < _MOST_BLOCKS, f"{sent * len(_BLOCK)} bytes were taken in spite of the pause")
    line.resume()
    await line.until(lambda: len(line.messages) == sent)
    expect_equal(
        [message[:4] for message in line.messages],
        [number.to_bytes(4, "big") for number in range(1, sent + 1)],
        "the order",
    )


@CHECKS.add()
async def a_peer_that_does_not_read_is_reported(bench: CheckContext) -> None:
    line = await bench.open()
    bench.peer.stop_reading()
    sent = 0
    while line.writable_now and sent < _MOST_BLOCKS:
        expect(line.connection.send(_BLOCK), "an open line takes messages")
        sent += 1
    expect(not line.writable_now, f"{sent * len(_BLOCK)} bytes were taken, and nobody read them")
    line.connection.send("behind it")
    bench.peer.resume_reading()
    await line.until(lambda: line.writable_now)
    await bench.peer.until(lambda: len(bench.peer.received) == sent + 1)
    expect_equal(bench.peer.received[-1], "behind it", "the last message")
    line.connection.send("and on it goes")
    await bench.peer.until(lambda: bench.peer.received[-1] == "and on it goes")


@CHECKS.add()
async def an_idle_connection_is_writable(bench: CheckContext) -> None:
    line = await bench.open()
    for number in range(20):
        line.connection.send(f"{number}")
        await line.until(lambda: line.writable_now)
    await bench.peer.until(lambda: len(bench.peer.received) == 20)
