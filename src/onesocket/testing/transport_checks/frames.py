"""Frames, as RFC 6455 wants them and as it forbids them."""

from __future__ import annotations

from typing import Final

from ...errors import ConnectionLost, InvalidText, MessageTooBig, ProtocolViolation
from ..faults import Fault
from ..other_side import Feature
from ..raw_frames import Opcode, encode_close, encode_frame, encode_message
from .check import Bench, Body, Checks, expect, expect_equal

CHECKS: Final = Checks()
_LIMIT: Final = 1000


@CHECKS.add(Feature.BYTES)
async def fragments_are_put_together_with_control_frames_between_them(bench: Bench) -> None:
    line = await bench.open(max_size=_LIMIT)
    connection = bench.side.server.connections[0]
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
    await line.until(lambda: len(line.messages) == 3)
    expect_equal(line.messages, ["☃-ok", b"ab", "whole"], "what came")
    expect_equal(line.pongs, [b"q"], "the PONG in between")


@CHECKS.add(Feature.BYTES)
async def a_message_byte_by_byte(bench: Bench) -> None:
    line = await bench.open()
    connection = bench.side.server.connections[0]
    for byte in encode_message("☃" * 50) + encode_frame(Opcode.PING, b"p") + encode_message(b"x" * 300):
        connection.write_raw(bytes([byte]))
    await line.until(lambda: len(line.messages) == 2)
    expect_equal(line.messages, ["☃" * 50, b"x" * 300], "what came")


@CHECKS.add(Feature.BYTES)
async def a_close_between_fragments_is_a_close(bench: Bench) -> None:
    line = await bench.open()
    fragment = encode_frame(Opcode.TEXT, b"begun", fin=False)
    bench.side.server.connections[0].write_raw(fragment + encode_close(4001, "bye"))
    await line.until(lambda: line.closed is not None)
    expect_equal(line.closed, (4001, "bye"), "the CLOSE")
    await line.end()


@CHECKS.add(Feature.BYTES)
async def nothing_counts_behind_a_close(bench: Bench) -> None:
    line = await bench.open()
    burst = encode_message("before") + encode_close(1001) + encode_message("behind") + encode_close(1000)
    bench.side.server.connections[0].write_raw(burst)
    await line.end()
    expect_equal((line.messages, line.closed), (["before"], (1001, "")), "what came")
    expect_equal(line.violation, None, "the violation")


@CHECKS.add(Feature.BYTES)
async def what_comes_together_with_the_answer_to_the_upgrade(bench: Bench) -> None:
    burst = [f"{number}" for number in range(1000)]
    bench.side.server.faults = [Fault.burst(burst)]
    line = await bench.open()
    await line.until(lambda: len(line.messages) == len(burst))
    expect_equal(line.messages, burst, "what came")


@CHECKS.add(Feature.BYTES)
async def a_frame_that_is_cut_off(bench: Bench) -> None:
    bench.side.server.faults = [Fault.truncated_frame()]
    line = bench.dial()
    expect_equal(type(await line.end()), ConnectionLost, "the error")
    expect_equal(line.messages, [], "what came")


def _violation(frames: bytes, kind: type[ProtocolViolation]) -> Body:
    async def body(bench: Bench) -> None:
        line = await bench.open(max_size=_LIMIT)
        bench.side.server.connections[0].write_raw(encode_message("before") + frames + encode_message("behind"))
        await line.until(lambda: line.violation is not None or line.is_over)
        await bench.side.until(lambda: len(bench.side.close_codes) == 1)
        line.line.abort()
        error = line.violation or await line.end()
        expect_equal(type(error), kind, f"the error ({error})")
        expect_equal(bench.side.close_codes, [kind.code], "the code that it was told")
        expect_equal((line.messages, line.closed), (["before"], None), "what was handed over")
        await line.end()

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
    CHECKS.add_named(f"forbidden: {_name}", _violation(_frames, _kind), Feature.BYTES)


@CHECKS.add(Feature.BYTES)
async def a_violation_behind_a_burst_comes_after_it(bench: Bench) -> None:
    line = await bench.open()
    burst = [f"{number}" for number in range(1000)]
    frames = b"".join(map(encode_message, burst)) + encode_frame(Opcode.TEXT, b"\xff")
    bench.side.server.connections[0].write_raw(frames)
    await line.until(lambda: line.violation is not None)
    expect_equal(line.messages, burst, "what came before it")
    expect(isinstance(line.violation, InvalidText), f"another violation: {line.violation!r}")
