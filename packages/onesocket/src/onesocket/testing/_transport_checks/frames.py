"""Valid frames, and frames that RFC 6455 forbids."""

from __future__ import annotations

from functools import partial
from typing import Final

from ...errors import ConnectionReset, InvalidText, MessageTooBig, ProtocolViolation
from .._checked_connection import CheckedConnection
from .._faults import Fault
from .._raw_frames import Opcode, deflate, encode_close, encode_frame, encode_message
from .._test_peer import PeerFeature
from .check import CheckContext, CheckFunction, CheckRegistry, expect, expect_equal

CHECKS: Final = CheckRegistry()
_LIMIT: Final = 1000
_COMPRESSED: Final = 0b100


@CHECKS.add(PeerFeature.BYTES)
async def fragments_are_put_together_with_control_frames_between_them(context: CheckContext) -> None:
    checked = await context.open(max_size=_LIMIT)
    connection = context.served
    connection.write_raw(
        encode_frame(Opcode.TEXT, b"\xe2\x98", fin=False)
        + encode_frame(Opcode.PING, b"p")
        + encode_frame(Opcode.CONTINUATION, b"\x83-", fin=False)
        + encode_frame(Opcode.PONG, b"q")
        + encode_frame(Opcode.CONTINUATION, b"", fin=False)
        + encode_frame(Opcode.CONTINUATION, b"ok")
        + encode_frame(Opcode.BINARY, b"", fin=False)
        + encode_frame(Opcode.CONTINUATION, b"ab")
        + encode_message("whole")
    )
    await checked.until(lambda: len(checked.messages) == 3)
    expect_equal(checked.messages, ["☃-ok", b"ab", "whole"], "the received messages")
    expect_equal(checked.pongs, [b"q"], "the PONG in between")


@CHECKS.add(PeerFeature.BYTES)
async def control_frames_and_messages_keep_their_order(context: CheckContext) -> None:
    checked = await context.open()
    pongs_before: list[int] = []
    checked.on_message = lambda _: pongs_before.append(len(checked.pongs))
    pong = encode_frame(Opcode.PONG, b"q")
    context.served.write_raw(
        pong + encode_message("one") + encode_message("two") + pong + pong + encode_message("three")
    )
    await checked.until(lambda: len(checked.messages) == 3)
    expect_equal(pongs_before, [1, 1, 3], "the PONGs before each message")


@CHECKS.add(PeerFeature.BYTES)
async def a_message_byte_by_byte(context: CheckContext) -> None:
    checked = await context.open()
    connection = context.served
    for byte in encode_message("☃" * 50) + encode_frame(Opcode.PING, b"p") + encode_message(b"x" * 300):
        connection.write_raw(bytes([byte]))
    await checked.until(lambda: len(checked.messages) == 2)
    expect_equal(checked.messages, ["☃" * 50, b"x" * 300], "the received messages")


def _has_grown(checked: CheckedConnection, activity: int, parts: int) -> bool:
    return checked.connection.activity > activity and checked.connection.parts > parts


@CHECKS.add(PeerFeature.BYTES)
async def every_byte_of_a_message_is_a_sign_of_life(context: CheckContext) -> None:
    checked = await context.open()
    connection = context.served
    frame = encode_message("x" * 300_000)
    connection.write_raw(encode_message("before") + frame[:10])
    await checked.until(lambda: checked.messages == ["before"])
    for begin, end in ((10, 11), (11, 12), (12, 200_000), (200_000, 200_001)):
        activity, parts = checked.connection.activity, checked.connection.parts
        connection.write_raw(frame[begin:end])
        await checked.until_polled(partial(_has_grown, checked, activity, parts))
    connection.write_raw(frame[200_001:])
    await checked.until(lambda: len(checked.messages) == 2)
    expect_equal(checked.messages[1], "x" * 300_000, "the slow message")


@CHECKS.add(PeerFeature.BYTES)
async def messages_that_end_with_a_final_block(context: CheckContext) -> None:
    """Compressed, if the transport has agreed to that (RFC 7692, section 7.2.3.4)."""
    context.peer.server.faults = Fault.final_block()
    checked = await context.open()
    sent: list[str | bytes] = ["one", "one", b"\x00\x01", "", "☃" * 20_000, "one", b""]
    context.peer.send(*sent)
    await checked.until(lambda: len(checked.messages) == len(sent))
    expect_equal(checked.messages, sent, "the received messages")


@CHECKS.add(PeerFeature.BYTES)
async def final_blocks_in_the_middle_of_messages(context: CheckContext) -> None:
    checked = await context.open()
    connection = context.served
    if not connection.compresses:
        return
    ends, goes_on = deflate(b"ends,", final=True), deflate(b"goes on")
    connection.write_raw(
        encode_frame(Opcode.TEXT, ends[:-1] + goes_on, reserved=_COMPRESSED)
        + encode_frame(Opcode.TEXT, ends[:2], reserved=_COMPRESSED, fin=False)
        + encode_frame(Opcode.PING, b"p")
        + encode_frame(Opcode.CONTINUATION, ends[2:-1], fin=False)
        + encode_frame(Opcode.CONTINUATION, b"", fin=False)
        + encode_frame(Opcode.CONTINUATION, goes_on)
        + encode_message("plain")
        + encode_frame(Opcode.TEXT, goes_on, reserved=_COMPRESSED)
        + encode_frame(Opcode.TEXT, b"", reserved=_COMPRESSED)
        + encode_frame(Opcode.TEXT, ends[:-1], reserved=_COMPRESSED)
        + encode_frame(Opcode.TEXT, goes_on, reserved=_COMPRESSED)
    )
    wanted = ["ends,goes on", "ends,goes on", "plain", "goes on", "", "ends,", "goes on"]
    await checked.until(lambda: len(checked.messages) == len(wanted))
    expect_equal(checked.messages, wanted, "the received messages")


def _invalid_deflate(payload: bytes, *, fin: bool) -> CheckFunction:
    async def body(context: CheckContext) -> None:
        checked = await context.open()
        connection = context.served
        if not connection.compresses:
            return
        good = encode_frame(Opcode.TEXT, deflate(b"good", final=True), reserved=_COMPRESSED)
        bad = encode_frame(Opcode.TEXT, payload, reserved=_COMPRESSED, fin=fin)
        connection.write_raw(good + bad + (b"" if fin else encode_frame(Opcode.CONTINUATION, b"")) + good)
        await checked.until(lambda: checked.violation is not None)
        expect_equal(checked.messages, ["good"], "the delivered messages")
        await context.peer.until(lambda: context.peer.close_codes == [ProtocolViolation.code])

    return body


for _name, _payload in {
    "cut off in a block": deflate(b"some text that is long enough to be cut off")[:-8],
    "cut off in a block without compression": b"\x00\xf4\x01\x0b\xfe" + b"x" * 480,
    "cut off behind a final block": deflate(b"one", final=True)[:-1] + deflate(b"two " * 20)[:-4],
    "nonsense": b"\x07\xff",
    "nonsense behind a final block": deflate(b"one", final=True)[:-1] + b"\x07\xff",
    "final blocks without end": b"\x03\x00" * 5000,
}.items():
    for _fin in (True, False):
        _label = f"forbidden: compressed, {_name}{'' if _fin else ', in fragments'}"
        CHECKS.add_named(_label, _invalid_deflate(_payload, fin=_fin), PeerFeature.BYTES)


@CHECKS.add(PeerFeature.BYTES)
async def a_close_between_fragments_is_a_close(context: CheckContext) -> None:
    checked = await context.open()
    fragment = encode_frame(Opcode.TEXT, b"begun", fin=False)
    context.served.write_raw(fragment + encode_close(4001, "bye"))
    await checked.until(lambda: checked.closed is not None)
    expect_equal(checked.closed, (4001, "bye"), "the CLOSE")
    await checked.end()


@CHECKS.add(PeerFeature.BYTES)
async def frames_after_a_close_are_ignored(context: CheckContext) -> None:
    checked = await context.open()
    burst = encode_message("before") + encode_close(1001) + encode_message("behind") + encode_close(1000)
    context.served.write_raw(burst)
    await checked.end()
    expect_equal((checked.messages, checked.closed), (["before"], (1001, "")), "the received messages")
    expect_equal(checked.violation, None, "the violation")


@CHECKS.add(PeerFeature.BYTES)
async def messages_that_come_together_with_the_response_to_the_upgrade(context: CheckContext) -> None:
    burst = [f"{number}" for number in range(1000)]
    context.peer.server.faults = [Fault.burst(burst)]
    checked = await context.open()
    await checked.until(lambda: len(checked.messages) == len(burst))
    expect_equal(checked.messages, burst, "the received messages")


@CHECKS.add(PeerFeature.BYTES)
async def a_frame_that_is_cut_off(context: CheckContext) -> None:
    context.peer.server.faults = [Fault.truncated_frame()]
    checked = context.dial()
    expect_equal(type(await checked.end()), ConnectionReset, "the error")
    expect_equal(checked.messages, [], "the received messages")


def _violation(frames: bytes, kind: type[ProtocolViolation]) -> CheckFunction:
    async def body(context: CheckContext) -> None:
        checked = await context.open(max_size=_LIMIT)
        context.served.write_raw(encode_message("before") + frames + encode_message("behind"))
        await checked.until(lambda: checked.violation is not None or checked.is_over)
        await context.peer.until(lambda: len(context.peer.close_codes) == 1)
        checked.connection.abort()
        error = checked.violation or await checked.end()
        expect_equal(type(error), kind, f"the error ({error})")
        expect_equal(context.peer.close_codes, [kind.code], "the code that it was sent")
        expect_equal((checked.messages, checked.closed), (["before"], None), "the delivered messages")
        await checked.end()

    return body


_FORBIDDEN: Final[dict[str, tuple[bytes, type[ProtocolViolation]]]] = {
    "masked": (encode_frame(Opcode.TEXT, b"x", mask=b"1234"), ProtocolViolation),
    # Where the first of them means "compressed", no compressed message begins like this one.
    **{
        f"reserved bits {bits:03b}": (encode_frame(Opcode.TEXT, b"\x07", reserved=bits), ProtocolViolation)
        for bits in (0b100, 0b010, 0b001)
    },
    "reserved bit of a PING": (encode_frame(Opcode.PING, b"x", reserved=0b100), ProtocolViolation),
    "opcode 3": (encode_frame(3, b"x"), ProtocolViolation),
    "opcode 11": (encode_frame(11, b"x"), ProtocolViolation),
    "a PING of 126 bytes": (encode_frame(Opcode.PING, b"x" * 126), ProtocolViolation),
    "a fragmented PING": (encode_frame(Opcode.PING, b"x", fin=False), ProtocolViolation),
    "a continuation of nothing": (encode_frame(Opcode.CONTINUATION, b"x"), ProtocolViolation),
    "a message within another": (
        encode_frame(Opcode.TEXT, b"x", fin=False) + encode_frame(Opcode.TEXT, b"y"),
        ProtocolViolation,
    ),
    "text that is not UTF-8": (encode_frame(Opcode.TEXT, b"caf\xe9"), InvalidText),
    "text with a surrogate": (encode_frame(Opcode.TEXT, b"\xed\xa0\x80"), InvalidText),
    "text that ends within a character": (encode_frame(Opcode.TEXT, b"\xe2\x98"), InvalidText),
    "fragments that are not UTF-8": (
        encode_frame(Opcode.TEXT, b"\xe2\x82", fin=False) + encode_frame(Opcode.CONTINUATION, b"\x28"),
        InvalidText,
    ),
    "a close reason that is not UTF-8": (encode_frame(Opcode.CLOSE, b"\x03\xe8\xff"), InvalidText),
    "a CLOSE of one byte": (encode_frame(Opcode.CLOSE, b"\x03"), ProtocolViolation),
    **{
        f"close code {code}": (encode_close(code), ProtocolViolation)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    },
    "a frame over the limit": (encode_frame(Opcode.BINARY, bytes(_LIMIT + 1)), MessageTooBig),
    "a frame that says it is over the limit": (
        encode_frame(Opcode.BINARY, b"", claimed_length=1 << 40),
        MessageTooBig,
    ),
    "fragments over the limit": (
        encode_frame(Opcode.BINARY, bytes(_LIMIT), fin=False) + encode_frame(Opcode.CONTINUATION, b"x"),
        MessageTooBig,
    ),
}
for _name, (_frames, _kind) in _FORBIDDEN.items():
    CHECKS.add_named(f"forbidden: {_name}", _violation(_frames, _kind), PeerFeature.BYTES)


@CHECKS.add(PeerFeature.BYTES)
async def a_violation_behind_a_burst_comes_after_it(context: CheckContext) -> None:
    checked = await context.open()
    burst = [f"{number}" for number in range(1000)]
    frames = b"".join(map(encode_message, burst)) + encode_frame(Opcode.TEXT, b"\xff")
    context.served.write_raw(frames)
    await checked.until(lambda: checked.violation is not None)
    expect_equal(checked.messages, burst, "the messages before the violation")
    expect(isinstance(checked.violation, InvalidText), f"another violation: {checked.violation!r}")
