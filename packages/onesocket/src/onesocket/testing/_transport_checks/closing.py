"""The end of a connection: the close handshake both ways, the end without one, and the abort."""

from __future__ import annotations

from typing import Final

from ...errors import ConnectionReset, ProtocolViolation
from ...wire._handshake import Data
from .._raw_frames import encode_close, encode_message
from .._test_peer import PeerFeature
from .check import CheckContext, CheckFunction, CheckRegistry, expect, expect_equal, fill, pass_turns

CHECKS: Final = CheckRegistry()


@CHECKS.add()
async def our_close_is_acknowledged(context: CheckContext) -> None:
    checked = await context.open()
    for number in range(100):
        checked.connection.send(f"{number}")
    checked.close(4000, "☃" * 100)
    expect(not checked.connection.send("too late"), "a message was taken behind the CLOSE")
    checked.connection.ping(b"too late")
    await checked.end()
    expect_equal((checked.closed, checked.violation), (None, None), "the events of the peer")
    await context.expect_clean_end([4000])
    expect_equal(context.peer.received, [f"{number}" for number in range(100)], "the messages before the CLOSE")


@CHECKS.add()
async def calls_after_the_end_do_nothing(context: CheckContext) -> None:
    checked = await context.open()
    checked.close()
    checked.close(4000)
    await checked.end()
    ended = checked.connection
    for call in (ended.pause_reading, ended.resume_reading, ended.abort, checked.close):
        call()
    expect(not checked.connection.send("too late"), "a message was taken after the end")
    checked.connection.ping(b"too late")
    checked.connection.abort(4000)
    await pass_turns()
    expect(checked.connection.phase, "an ended connection has a phase")
    await context.wait_all_closed()
    expect_equal(context.peer.close_codes, [1000], "the received close codes")


def _peer_closes(code: int, reason: str) -> CheckFunction:
    async def body(context: CheckContext) -> None:
        checked = await context.open()
        context.peer.send("before")
        context.peer.close(code, reason)
        error = await checked.end()
        expect_equal(checked.messages, ["before"], "the messages before the CLOSE")
        expect_equal(checked.closed, (code, reason), "the CLOSE")
        expect_equal(type(error), ConnectionReset, "the end")
        await context.expect_clean_end()

    return body


for _code, _reason in ((1000, ""), (1001, "going"), (1011, ""), (3000, ""), (4999, "☃" * 41)):
    CHECKS.add_named(f"the peer closes with {_code}", _peer_closes(_code, _reason))


@CHECKS.add(PeerFeature.BYTES)
async def the_peer_closes_without_a_code(context: CheckContext) -> None:
    checked = await context.open()
    context.served.close_nowait(None)
    await checked.end()
    expect_equal(checked.closed, (1005, ""), "the CLOSE")
    await context.expect_clean_end()


@CHECKS.add()
async def both_close_at_once(context: CheckContext) -> None:
    checked = await context.open()
    context.peer.close(1001)
    checked.close(1000)
    await checked.end()
    await context.wait_all_closed()
    expect(len(context.peer.close_codes) <= 1, f"more than one CLOSE: {context.peer.close_codes}")
    await context.expect_clean_end()


@CHECKS.add()
async def a_close_ends_a_pause_and_delivers_held_messages(context: CheckContext) -> None:
    checked = await context.open()
    sent = [f"{number}" for number in range(300)]

    def pause_at_first(_: Data) -> None:
        checked.on_message = lambda _: None
        checked.pause()

    checked.on_message = pause_at_first
    context.peer.send(*sent)
    await checked.until(lambda: bool(checked.messages))
    checked.close()
    await checked.end()
    expect_equal(checked.messages, sent, "the received messages")
    await context.expect_clean_end()


@CHECKS.add(PeerFeature.BYTES)
async def messages_of_the_peer_before_its_answer_are_delivered(context: CheckContext) -> None:
    context.peer.ignore_close()
    checked = await context.open()
    checked.close()
    await context.peer.until(lambda: context.peer.close_codes == [1000])
    connection = context.served
    connection.write_raw(encode_message("one") + encode_message("two") + encode_close(1000))
    await checked.end()
    expect_equal(checked.messages, ["one", "two"], "the received messages")


def _answered_by(rubbish: bytes) -> CheckFunction:
    async def body(context: CheckContext) -> None:
        context.peer.ignore_close()
        checked = await context.open()
        checked.close()
        await context.peer.until(lambda: context.peer.close_codes == [1000])
        context.served.write_raw(encode_message("before") + rubbish)
        expect_equal(type(await checked.end()), ProtocolViolation, "the error")  # without an abort
        expect_equal(checked.messages, ["before"], "the received messages")

    return body


for _name, _rubbish in (
    ("text", b"HTTP/1.1 400 Bad Request"),
    ("a reserved opcode", b"\x8b\x00"),
    ("a masked CLOSE", b"\x88\x80"),
):
    CHECKS.add_named(f"our close is answered by {_name}", _answered_by(_rubbish), PeerFeature.BYTES)


@CHECKS.add()
async def a_close_that_is_not_answered_is_ended_by_abort(context: CheckContext) -> None:
    context.peer.ignore_close()
    checked = await context.open()
    checked.close()
    await context.peer.until(lambda: context.peer.close_codes == [1000])
    expect(not checked.is_over, "it has ended without an answer")
    checked.connection.abort()
    await checked.end()


@CHECKS.add()
async def an_abort_drops_the_rest_of_a_burst(context: CheckContext) -> None:
    checked = await context.open()

    def abort(_: Data) -> None:
        checked.connection.abort()

    checked.on_message = abort
    context.peer.send(*map(str, range(300)))
    await checked.end()
    expect_equal(checked.messages, ["0"], "the received messages")


@CHECKS.add()
async def an_abort_with_a_code_sends_close(context: CheckContext) -> None:
    checked = await context.open()
    checked.connection.abort(4000)
    await checked.end()
    await context.wait_all_closed()
    expect_equal(context.peer.close_codes, [4000], "the received close codes")


@CHECKS.add()
async def a_drop_is_a_lost_connection(context: CheckContext) -> None:
    checked = await context.open()
    context.peer.drop()
    expect_equal(type(await checked.end()), ConnectionReset, "the error")
    expect_equal(checked.closed, None, "the CLOSE")


@CHECKS.add()
async def a_full_socket_does_not_delay_an_abort(context: CheckContext) -> None:
    checked = await context.open()
    context.peer.stop_reading()
    fill(checked)
    checked.close()
    await pass_turns()
    expect(not checked.is_over, "it has ended before its CLOSE was out")
    checked.connection.abort(4000)
    await checked.end()


@CHECKS.add()
async def a_close_waits_behind_a_full_socket(context: CheckContext) -> None:
    checked = await context.open()
    context.peer.stop_reading()
    sent = fill(checked)
    checked.close(4000)
    context.peer.resume_reading()
    await checked.end()
    await context.wait_all_closed()
    expect_equal(context.peer.close_codes, [4000], "the received close codes")
    expect_equal(len(context.peer.received), sent, "the number of received messages")


def _from_inside(how: str) -> CheckFunction:
    async def body(context: CheckContext) -> None:
        checked = await context.open()

        def act(_: Data) -> None:
            checked.on_message = lambda _: None
            if how == "close":
                checked.close()
            elif how == "abort":
                checked.connection.abort()
            else:
                checked.connection.send("reply")

        checked.on_message = act
        context.peer.send(*(f"{number}" for number in range(10)))
        if how == "send":
            await context.peer.until(lambda: context.peer.received == ["reply"])
            return
        await checked.end()
        if how == "close":
            await context.expect_clean_end([1000])

    return body


for _how in ("close", "abort", "send"):
    CHECKS.add_named(f"{_how} from inside of a message", _from_inside(_how))
