"""Messages, PINGs, limits and back-pressure, both ways."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from ...errors import MessageTooBig
from ...wire import Data
from ..other_side import Feature
from .check import Bench, Body, Checks, expect, expect_equal

CHECKS: Final = Checks()
_SAMPLES: Final[tuple[Data, ...]] = ("text ☃", b"\x00\xff", "", b"", "x" * 70_000, b"y" * 1_000_000)
_NOISE: Final = random.Random(0).randbytes(1000)
_BLOCK: Final = random.Random(1).randbytes(500_000)  # noise, as nothing else stays as long when it is compressed
# More than any kernel buffers on loopback; a transport that doesn't say that it is full is found out by it.
_MOST_BLOCKS: Final = 400


@CHECKS.add()
async def messages_arrive_whole_and_in_order_both_ways(bench: Bench) -> None:
    line = await bench.open()
    seen = line.line.messages
    bench.side.send(*_SAMPLES)
    await line.until(lambda: len(line.messages) == len(_SAMPLES))
    expect_equal(line.messages, list(_SAMPLES), "what came")
    for message in _SAMPLES:
        line.line.send(message)
    await bench.side.until(lambda: len(bench.side.received) == len(_SAMPLES))
    expect_equal(bench.side.received, list(_SAMPLES), "what the other side got")
    expect(line.line.messages > seen, "frames that came are evidence of life")


@CHECKS.add()
async def a_burst_leaves_the_loop_its_turns(bench: Bench) -> None:
    line = await bench.open()
    burst = [f"{number}" for number in range(5000)]
    bench.side.send(*burst)
    await line.until(lambda: len(line.messages) == len(burst))
    expect_equal(line.messages, burst, "what came")  # that a turn has its limit, every line is watched for


@CHECKS.add()
async def hand_to_takes_over_at_once(bench: Bench) -> None:
    line = await bench.open()
    other: list[Data] = []

    def first(_: Data) -> None:
        line.line.hand_to(other.append)

    line.on_message = first
    bench.side.send(*"abc")
    bench.side.send("d")
    await line.until_turned(lambda: len(other) == 3)
    expect_equal((line.messages, other), (["a"], ["b", "c", "d"]), "who got what")


@CHECKS.add()
async def a_ping_is_answered_by_a_pong(bench: Bench) -> None:
    line = await bench.open()
    seen = line.line.messages
    line.line.ping(b"")
    line.line.ping(b"x" * 125)
    await line.until(lambda: len(line.pongs) == 2)
    expect_equal(line.pongs, [b"", b"x" * 125], "the PONGs")
    expect(line.line.messages > seen, "a PONG is evidence of life")


@CHECKS.add(Feature.PEER_PINGS)
async def pings_of_the_peer_are_answered(bench: Bench) -> None:
    line = await bench.open()
    connection = bench.side.server.connections[0]
    connection.write_raw(b"\x89\x02hi" * 10_000)
    await connection.ping()
    expect(line.is_open, "a flood of PINGs has ended it")


# --- limits ---------------------------------------------------------------------------------------------------------


def _limit(longest: Data, too_long: Data) -> Body:
    async def body(bench: Bench) -> None:
        line = await bench.open(max_size=999)
        bench.side.send(longest)
        await line.until(lambda: len(line.messages) == 1)
        bench.side.send(too_long)
        await line.until(lambda: line.violation is not None or line.is_over)
        await bench.side.until(lambda: bench.side.close_codes == [MessageTooBig.code])
        line.line.abort()
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
async def a_pause_holds_everything_back_until_it_is_resumed(bench: Bench) -> None:
    line = await bench.open()
    sent = [f"{number}" for number in range(1000)]

    def pause_at_3(message: Data) -> None:
        if message == "3":
            line.pause()

    line.on_message = pause_at_3
    bench.side.send(*sent)
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


@CHECKS.add(Feature.PRESSURE)
async def a_pause_is_felt_by_the_peer(bench: Bench) -> None:
    line = await bench.open()
    line.pause()
    connection = bench.side.server.connections[0]
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
async def a_peer_that_does_not_read_is_told_of(bench: Bench) -> None:
    line = await bench.open()
    bench.side.stop_reading()
    sent = 0
    while line.writable_now and sent < _MOST_BLOCKS:
        expect(line.line.send(_BLOCK), "an open line takes messages")
        sent += 1
    expect(not line.writable_now, f"{sent * len(_BLOCK)} bytes were taken, and nobody read them")
    line.line.send("behind it")
    bench.side.resume_reading()
    await line.until(lambda: line.writable_now)
    await bench.side.until(lambda: len(bench.side.received) == sent + 1)
    expect_equal(bench.side.received[-1], "behind it", "the last message")
    line.line.send("and on it goes")
    await bench.side.until(lambda: bench.side.received[-1] == "and on it goes")


@CHECKS.add()
async def an_idle_line_is_writable(bench: Bench) -> None:
    line = await bench.open()
    for number in range(20):
        line.line.send(f"{number}")
        await line.until(lambda: line.writable_now)
    await bench.side.until(lambda: len(bench.side.received) == 20)
