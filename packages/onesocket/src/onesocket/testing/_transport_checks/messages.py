"""Messages, PINGs, limits and back-pressure, both ways."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from ...errors import MessageTooBig
from ...wire._handshake import Data
from .._test_peer import PeerFeature
from .check import BLOCK, MAX_BLOCKS, CheckContext, CheckFunction, CheckRegistry, expect, expect_equal, fill, pass_turns

CHECKS: Final = CheckRegistry()
_SAMPLES: Final[tuple[Data, ...]] = ("text ☃", b"\x00\xff", "", b"", "x" * 70_000, b"y" * 1_000_000)
_NOISE: Final = random.Random(0).randbytes(1000)


@CHECKS.add()
async def messages_arrive_whole_and_in_order_both_ways(context: CheckContext) -> None:
    checked = await context.open()
    seen = checked.connection.activity
    context.peer.send(*_SAMPLES)
    await checked.until(lambda: len(checked.messages) == len(_SAMPLES))
    expect_equal(checked.messages, list(_SAMPLES), "the received messages")
    for message in _SAMPLES:
        checked.connection.send(message)
    await context.peer.until(lambda: len(context.peer.received) == len(_SAMPLES))
    expect_equal(context.peer.received, list(_SAMPLES), "the messages that the peer received")
    expect(checked.connection.activity > seen, "a frame is a sign of life")


@CHECKS.add()
async def a_run_of_messages_arrives_whole_or_not_at_all(context: CheckContext) -> None:
    checked = await context.open()
    sent = [*_SAMPLES, *(f"{number} ☃ {'x' * number}" for number in range(300))]
    expect(checked.connection.send_run(list(_SAMPLES)), "a run is taken")
    refused: list[list[Data]] = [["first", "\ud800"], ["\ud800", "last"]]
    for bad in refused:
        try:
            checked.connection.send_run(bad)
        except UnicodeError:
            continue
        raise AssertionError(f"a run of {bad!r} was taken")
    expect(checked.connection.send_run(sent[len(_SAMPLES) :]), "a run is taken after one that was refused")
    await context.peer.until(lambda: len(context.peer.received) == len(sent))
    expect_equal(context.peer.received, sent, "the messages that the peer received")


@CHECKS.add()
async def a_burst_does_not_starve_the_loop(context: CheckContext) -> None:
    checked = await context.open()
    burst = [f"{number}" for number in range(5000)]
    context.peer.send(*burst)
    await checked.until(lambda: len(checked.messages) == len(burst))
    expect_equal(checked.messages, burst, "the received messages")  # CheckedConnection checks the limit of each turn


@CHECKS.add()
async def set_receiver_takes_over_at_once(context: CheckContext) -> None:
    checked = await context.open()
    other: list[Data] = []

    def first(_: Data) -> None:
        checked.connection.set_receiver(other.append)

    checked.on_message = first
    context.peer.send(*"abc")
    context.peer.send("d")
    await checked.until_polled(lambda: len(other) == 3)
    expect_equal((checked.messages, other), (["a"], ["b", "c", "d"]), "the messages of each receiver")


@CHECKS.add()
async def a_ping_is_answered_by_a_pong(context: CheckContext) -> None:
    checked = await context.open()
    seen, parts = checked.connection.activity, checked.connection.parts
    checked.connection.ping(b"")
    checked.connection.ping(b"x" * 125)
    await checked.until(lambda: len(checked.pongs) == 2)
    expect_equal(checked.pongs, [b"", b"x" * 125], "the PONGs")
    expect(checked.connection.activity > seen, "a PONG is a sign of life")
    expect_equal(checked.connection.parts, parts, "the reads of a part of a message: a PONG is none")


@CHECKS.add(PeerFeature.PEER_PINGS)
async def pings_of_the_peer_are_answered(context: CheckContext) -> None:
    checked = await context.open()
    connection = context.served
    connection.write_raw(b"\x89\x02hi" * 10_000)
    await connection.ping()
    expect(checked.is_open, "a flood of PINGs has ended it")


# --- limits ---------------------------------------------------------------------------------------------------------


def _limit(longest: Data, too_long: Data) -> CheckFunction:
    async def body(context: CheckContext) -> None:
        checked = await context.open(max_size=999)
        context.peer.send(longest)
        await checked.until(lambda: len(checked.messages) == 1)
        context.peer.send(too_long)
        await checked.until(lambda: checked.violation is not None or checked.is_over)
        await context.peer.until(lambda: context.peer.close_codes == [MessageTooBig.code])
        checked.connection.abort()
        error = checked.violation or await checked.end()
        expect_equal(type(error), MessageTooBig, "the error")
        expect_equal(checked.messages, [longest], "the delivered messages")

    return body


CHECKS.add_named("the size limit holds for bytes", _limit(b"x" * 999, b"x" * 1000))
CHECKS.add_named("the size limit counts bytes of text", _limit("☃" * 333, "☃" * 334))
CHECKS.add_named("the size limit holds for what can be compressed", _limit(b"x" * 999, b"x" * 1_000_000))
# Compressed, the longest message is longer than the limit.
CHECKS.add_named("the size limit is not that of compressed bytes", _limit(_NOISE[:999], _NOISE[:1000]))


# --- back-pressure --------------------------------------------------------------------------------------------------


@CHECKS.add()
async def a_pause_holds_everything_back_until_it_is_resumed(context: CheckContext) -> None:
    checked = await context.open()
    sent = [f"{number}" for number in range(1000)]

    def pause_at_3(message: Data) -> None:
        if message == "3":
            checked.pause()

    checked.on_message = pause_at_3
    context.peer.send(*sent)
    await checked.until(lambda: "3" in checked.messages)
    await pass_turns(50)
    expect_equal(len(checked.messages), 4, "messages in spite of the pause")
    checked.pause()
    checked.resume()
    checked.pause()
    await pass_turns(50)
    expect_equal(len(checked.messages), 4, "messages after a resume that was taken back")
    checked.resume()
    await checked.until(lambda: len(checked.messages) == len(sent))
    expect_equal(checked.messages, sent, "the received messages")


@CHECKS.add(PeerFeature.PRESSURE)
async def a_pause_is_felt_by_the_peer(context: CheckContext) -> None:
    checked = await context.open()
    checked.pause()
    connection = context.served
    sent = 0
    while sent < MAX_BLOCKS:
        sent += 1
        try:
            async with asyncio.timeout(0.3):
                await connection.send(sent.to_bytes(4, "big") + BLOCK)
        except TimeoutError:
            break
    expect(sent < MAX_BLOCKS, f"{sent * len(BLOCK)} bytes were taken in spite of the pause")
    checked.resume()
    await checked.until(lambda: len(checked.messages) == sent)
    numbers = [int.from_bytes(message[:4], "big") for message in checked.messages if isinstance(message, bytes)]
    expect_equal(numbers, list(range(1, sent + 1)), "the order")


@CHECKS.add()
async def a_peer_that_does_not_read_is_reported(context: CheckContext) -> None:
    checked = await context.open()
    context.peer.stop_reading()
    sent = fill(checked)
    expect(not checked.writable_now, f"{sent * len(BLOCK)} bytes were taken without a reader")
    checked.connection.send("behind it")
    context.peer.resume_reading()
    await checked.until(lambda: checked.writable_now)
    await context.peer.until(lambda: len(context.peer.received) == sent + 1)
    expect_equal(context.peer.received[-1], "behind it", "the last message")
    checked.connection.send("and on it goes")
    await context.peer.until(lambda: context.peer.received[-1] == "and on it goes")


@CHECKS.add()
async def an_idle_connection_is_writable(context: CheckContext) -> None:
    checked = await context.open()
    for number in range(20):
        checked.connection.send(f"{number}")
        await checked.until(lambda: checked.writable_now)
    await context.peer.until(lambda: len(context.peer.received) == 20)
