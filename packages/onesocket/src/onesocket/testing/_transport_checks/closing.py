"""The end of a line: the close handshake both ways, the end without one, and the abort."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from ...errors import ConnectionReset
from ...wire._handshake import Data
from .._raw_frames import encode_close, encode_message
from .._test_peer import PeerFeature
from .check import CheckContext, CheckFunction, CheckRegistry, expect, expect_equal

CHECKS: Final = CheckRegistry()
_BLOCK: Final = random.Random(1).randbytes(500_000)
_MOST_BLOCKS: Final = 400


@CHECKS.add()
async def our_close_is_acknowledged(bench: CheckContext) -> None:
    line = await bench.open()
    for number in range(100):
        line.connection.send(f"{number}")
    line.close(4000, "☃" * 100)
    expect(not line.connection.send("too late"), "a message was taken behind the CLOSE")
    line.connection.ping(b"too late")
    await line.end()
    expect_equal((line.closed, line.violation), (None, None), "the peer's part in it")
    await bench.peer.until(lambda: bench.peer.open_now == 0)
    expect_equal(bench.peer.close_codes, [4000], "the codes that came")
    expect_equal(bench.peer.received, [f"{number}" for number in range(100)], "what went before the CLOSE")
    expect_equal(bench.peer.unclean_closes, 0, "lines that were abandoned")


@CHECKS.add()
async def calls_after_the_end_do_nothing(bench: CheckContext) -> None:
    line = await bench.open()
    line.close()
    line.close(4000)
    await line.end()
    for call in (line.connection.pause_reading, line.connection.resume_reading, line.connection.abort, line.close):
        call()
    expect(not line.connection.send("too late"), "a message was taken after the end")
    line.connection.ping(b"too late")
    line.connection.abort(4000)
    for _ in range(20):
        await asyncio.sleep(0)
    expect(line.connection.phase, "a line that is over says so")
    expect_equal(bench.peer.close_codes, [1000], "the codes that came")


def _peer_closes(code: int, reason: str) -> CheckFunction:
    async def body(bench: CheckContext) -> None:
        line = await bench.open()
        bench.peer.send("before")
        bench.peer.close(code, reason)
        error = await line.end()
        expect_equal(line.messages, ["before"], "what came before the CLOSE")
        expect_equal(line.closed, (code, reason), "the CLOSE")
        expect_equal(type(error), ConnectionReset, "the end")
        await bench.peer.until(lambda: bench.peer.open_now == 0)
        expect_equal(bench.peer.unclean_closes, 0, "lines that were abandoned")

    return body


for _code, _reason in ((1000, ""), (1001, "going"), (1011, ""), (3000, ""), (4999, "☃" * 41)):
    CHECKS.add_named(f"the peer closes with {_code}", _peer_closes(_code, _reason))


@CHECKS.add(PeerFeature.BYTES)
async def the_peer_closes_without_a_code(bench: CheckContext) -> None:
    line = await bench.open()
    bench.peer.server.connections[0].close_nowait(None)
    await line.end()
    expect_equal(line.closed, (1005, ""), "the CLOSE")
    expect_equal(bench.peer.unclean_closes, 0, "lines that were abandoned")


@CHECKS.add()
async def both_close_at_once(bench: CheckContext) -> None:
    line = await bench.open()
    bench.peer.close(1001)
    line.close(1000)
    await line.end()
    await bench.peer.until(lambda: bench.peer.open_now == 0)
    expect(len(bench.peer.close_codes) <= 1, f"more than one CLOSE came: {bench.peer.close_codes}")
    expect_equal(bench.peer.unclean_closes, 0, "lines that were abandoned")


@CHECKS.add()
async def a_close_ends_a_pause_and_hands_over_what_was_held(bench: CheckContext) -> None:
    line = await bench.open()
    sent = [f"{number}" for number in range(300)]

    def pause_at_first(_: Data) -> None:
        line.on_message = lambda _: None
        line.pause()

    line.on_message = pause_at_first
    bench.peer.send(*sent)
    await line.until(lambda: bool(line.messages))
    line.close()
    await line.end()
    expect_equal(line.messages, sent, "what came")
    expect_equal(bench.peer.unclean_closes, 0, "lines that were abandoned")


@CHECKS.add(PeerFeature.BYTES)
async def what_the_peer_sends_before_its_answer_still_comes(bench: CheckContext) -> None:
    bench.peer.ignore_close()
    line = await bench.open()
    line.close()
    await bench.peer.until(lambda: bench.peer.close_codes == [1000])
    connection = bench.peer.server.connections[0]
    connection.write_raw(encode_message("one") + encode_message("two") + encode_close(1000))
    await line.end()
    expect_equal(line.messages, ["one", "two"], "what came")


@CHECKS.add()
async def a_close_that_is_not_answered_is_ended_by_abort(bench: CheckContext) -> None:
    bench.peer.ignore_close()
    line = await bench.open()
    line.close()
    await bench.peer.until(lambda: bench.peer.close_codes == [1000])
    expect(not line.is_over, "it has ended without an answer")
    line.connection.abort()
    await line.end()


@CHECKS.add()
async def an_abort_with_a_code_tells_the_peer(bench: CheckContext) -> None:
    line = await bench.open()
    line.connection.abort(4000)
    await line.end()
    await bench.peer.until(lambda: bench.peer.open_now == 0)
    expect_equal(bench.peer.close_codes, [4000], "the codes that came")


@CHECKS.add()
async def a_drop_is_a_lost_connection(bench: CheckContext) -> None:
    line = await bench.open()
    bench.peer.drop()
    expect_equal(type(await line.end()), ConnectionReset, "the error")
    expect_equal(line.closed, None, "the CLOSE")


@CHECKS.add()
async def a_full_socket_does_not_delay_an_abort(bench: CheckContext) -> None:
    line = await bench.open()
    bench.peer.stop_reading()
    for _ in range(_MOST_BLOCKS):
        if not line.writable_now:
            break
        line.connection.send(_BLOCK)
    line.close()
    for _ in range(20):
        await asyncio.sleep(0)
    expect(not line.is_over, "it has ended before its CLOSE was out")
    line.connection.abort(4000)
    await line.end()


@CHECKS.add()
async def a_close_waits_behind_a_full_socket(bench: CheckContext) -> None:
    line = await bench.open()
    bench.peer.stop_reading()
    sent = 0
    while line.writable_now and sent < _MOST_BLOCKS:
        line.connection.send(_BLOCK)
        sent += 1
    line.close(4000)
    bench.peer.resume_reading()
    await line.end()
    expect_equal((len(bench.peer.received), bench.peer.close_codes), (sent, [4000]), "what the other side got")


def _from_inside(how: str) -> CheckFunction:
    async def body(bench: CheckContext) -> None:
        line = await bench.open()

        def act(_: Data) -> None:
            line.on_message = lambda _: None
            if how == "close":
                line.close()
            elif how == "abort":
                line.connection.abort()
            else:
                line.connection.send("reply")

        line.on_message = act
        bench.peer.send(*(f"{number}" for number in range(10)))
        if how == "send":
            await bench.peer.until(lambda: bench.peer.received == ["reply"])
            return
        await line.end()
        await bench.peer.until(lambda: bench.peer.open_now == 0)
        if how == "close":
            expect_equal((bench.peer.close_codes, bench.peer.unclean_closes), ([1000], 0), "CLOSEs that came")

    return body


for _how in ("close", "abort", "send"):
    CHECKS.add_named(f"{_how} from inside of a message", _from_inside(_how))
