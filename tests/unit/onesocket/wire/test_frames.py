"""The rules of RFC 6455 for frames, equally in both twins."""

import contextlib
import gc
import os
import struct
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from onesocket.wire import _frames
from onesocket.wire._frame_error import FrameError
from onesocket.wire._frames import CLOSED, CONTROLS, PENDING, SLICE, VIOLATED
from tests.unit.onesocket.wire.twins import TWINS

pytestmark = pytest.mark.parametrize("twin", TWINS.values(), ids=TWINS)

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
MASK = b"\x01\x02\x03\x04"


def frame(first: int, payload: bytes = b"", *, masked: bool = False, size: int | None = None) -> bytes:
    """Written by hand, so that the reader isn't tested by its own writer."""
    length = len(payload) if size is None else size
    bit = 0x80 if masked else 0
    if length < 126:
        head = struct.pack("!BB", first, bit | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    if masked:
        return head + MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload))
    return head + payload


def reader(twin: Any, **options: Any) -> Any:
    return twin.FrameReader(**({"masked": False} | options))


def read_all(one: Any, data: bytes, *, step: int | None = None) -> list[str | bytes]:
    messages: list[str | bytes] = []
    for start in range(0, len(data), step or len(data) or 1):
        messages += one.feed(data[start : start + (step or len(data))])
        while one.state & PENDING:
            messages += one.more()
    return messages


# --- what is valid ----------------------------------------------------------------------------------------------------

SIZES = (0, 1, 7, 8, 9, 125, 126, 127, 4096, 65_535, 65_536, 70_001)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_comes_whole(twin: Any, size: int, masked: bool) -> None:
    payload = bytes(place % 251 for place in range(size))
    data = frame(BINARY, payload, masked=masked) + frame(TEXT, b"t" * size, masked=masked)
    for step in (None, 1, 1000) if size < 5000 else (None, 4096):
        one = reader(twin, masked=masked)
        assert read_all(one, data, step=step) == [payload, "t" * size]
        assert one.state == 0


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_what_is_read(twin: Any, size: int, masked: bool) -> None:
    text = "é" * (size // 2) + "x" * (size % 2)
    one = reader(twin, masked=masked)
    for payload in (text, text.encode(), bytearray(text.encode()), memoryview(text.encode())):
        first = TEXT if isinstance(payload, str) else BINARY
        encoded = twin.encode_frame(first, payload, masked)
        assert type(encoded) is bytes
        assert encoded[0] == first
        assert read_all(one, encoded) == [text if isinstance(payload, str) else text.encode()]
        if not masked:
            assert encoded == frame(first, text.encode())


def test_masks_are_random(twin: Any) -> None:
    masks = {twin.encode_frame(TEXT, "", True)[2:6] for _ in range(3000)}
    assert len(masks) > 2990
    twin.forget_masks()
    assert twin.encode_frame(TEXT, "", True)[2:6] not in masks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_repeat_the_masks_of_its_parent(twin: Any) -> None:
    if twin is not _frames._twin:
        twin.forget_masks()  # only the twin in use is told of a fork
    twin.encode_frame(TEXT, "", True)
    here, there = os.pipe()
    child = os.fork()
    if not child:
        if twin is not _frames._twin:
            twin.forget_masks()
        os.write(there, b"".join(twin.encode_frame(TEXT, "", True)[2:6] for _ in range(8)))
        os._exit(0)
    os.waitpid(child, 0)
    mine = b"".join(twin.encode_frame(TEXT, "", True)[2:6] for _ in range(8))
    assert os.read(here, 32) != mine
    os.close(here)
    os.close(there)


@pytest.mark.parametrize("step", [None, 1])
def test_fragments_become_one_message_with_control_frames_between(twin: Any, step: int | None) -> None:
    one = reader(twin)
    euro = "€".encode()
    data = frame(0x01, b"a" + euro[:1]) + frame(PING, b"p") + frame(0x00, euro[1:2]) + frame(0x00)
    data += frame(PONG, b"q") + frame(0x80, euro[2:]) + frame(0x02, b"\xff") + frame(0x80, b"\xfe")
    assert read_all(one, data, step=step) == ["a€", b"\xff\xfe"]
    assert one.state == CONTROLS
    assert one.take_controls() == [(9, b"p"), (10, b"q")]
    assert one.state == 0
    assert one.take_controls() == []


@pytest.mark.parametrize(
    ("payload", "close"),
    [
        (b"", (1005, "")),
        (b"\x03\xe8", (1000, "")),
        (struct.pack("!H", 3000) + "tschüß".encode(), (3000, "tschüß")),
        (struct.pack("!H", 4999) + b"x" * 123, (4999, "x" * 123)),
    ],
)
def test_a_close_ends_the_input(twin: Any, payload: bytes, close: tuple[int, str]) -> None:
    one = reader(twin)
    assert read_all(one, frame(TEXT, b"a") + frame(0x01, b"begun") + frame(CLOSE, payload) + frame(TEXT, b"late")) == [
        "a"
    ]
    assert (one.state, one.close, one.violation) == (CLOSED, close, None)
    assert one.feed(frame(TEXT, b"later") + frame(0xFF)) == []
    assert (one.state, one.close, one.violation) == (CLOSED, close, None)


# --- what is not ------------------------------------------------------------------------------------------------------

LONG = (1 << 63).to_bytes(8, "big")
BROKEN: dict[str, tuple[bytes, int, str]] = {
    "RSV1": (frame(0xC1), 1002, "a reserved bit"),
    "RSV2": (frame(0xA1), 1002, "a reserved bit"),
    "RSV3 of a control frame": (frame(0x99), 1002, "a reserved bit"),
    **{f"opcode {code}": (frame(0x80 | code), 1002, f"opcode {code}") for code in (*range(3, 8), *range(11, 16))},
    "masked": (frame(TEXT, b"x", masked=True), 1002, "a frame is masked"),
    "fragmented PING": (frame(0x09), 1002, "fragmented"),
    "fragmented CLOSE": (frame(0x08), 1002, "fragmented"),
    "long PING": (frame(PING, b"x" * 126), 1002, "125"),
    "long CLOSE": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002, "125"),
    "a continuation of nothing": (frame(0x80, b"x"), 1002, "never began"),
    "a continuation of a whole message": (frame(TEXT) + frame(0x00), 1002, "never began"),
    "a message within a message": (frame(0x01, b"x") + frame(TEXT), 1002, "before the fragmented one"),
    "a length of 64 bits": (b"\x82\x7f" + LONG, 1002, "2**63"),
    "a CLOSE of one byte": (frame(CLOSE, b"\x03"), 1002, "one byte"),
    **{
        f"close code {code}": (frame(CLOSE, struct.pack("!H", code)), 1002, f"close code {code}")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)
    },
    "a reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007, "reason"),
    **{
        f"text {text!r}": (frame(TEXT, text), 1007, "not UTF-8")
        for text in (
            b"\xff", b"\x80", b"\xc3", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf",
            b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xfe", b"abc\xe2\x82",
            b"a" * 300 + b"\xe2(\xa1",
        )
    },
    "fragments that together are not UTF-8": (frame(0x01, b"\xe2\x82") + frame(0x80, b"("), 1007, "not UTF-8"),
    "a last fragment that lacks bytes": (frame(0x01, b"a") + frame(0x80, b"\xe2\x82"), 1007, "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize("case", BROKEN)
def test_a_violation_ends_the_input_and_says_what_is_wrong(twin: Any, case: str, step: int | None) -> None:
    data, code, text = BROKEN[case]
    one = reader(twin, max_size=1000)
    assert read_all(one, frame(TEXT, b"before") + data + frame(TEXT, b"after"), step=step)[:1] == ["before"]
    assert one.state == VIOLATED
    assert one.violation[0] == code
    assert text in one.violation[1]
    assert one.feed(frame(CLOSE)) == []
    assert one.close is None


def test_a_server_wants_masks(twin: Any) -> None:
    one = reader(twin, masked=True)
    assert one.feed(frame(TEXT, b"x")) == []
    assert one.violation == (1002, "a frame is not masked")


@pytest.mark.parametrize(
    ("head", "known_after"),
    [
        (b"\x83\x00", 2),
        (b"\x89\x7e\x01\x00", 2),
        (b"\x82\x7e\x03\xe9", 4),
        (b"\x82\x7f\x00\x00\x00\x00\x00\x00\x03\xe9", 10),
    ],
)
def test_a_wrong_header_is_found_as_soon_as_it_can_be(twin: Any, head: bytes, known_after: int) -> None:
    one = reader(twin, max_size=1000)
    for place in range(known_after - 1):
        one.feed(head[place : place + 1])
        assert one.violation is None
    one.feed(head[known_after - 1 : known_after])
    assert one.violation is not None


@pytest.mark.parametrize("first", [0x01, 0x81])
@pytest.mark.parametrize("masked", [False, True])
def test_invalid_text_is_found_before_its_frame_is_complete(twin: Any, first: int, masked: bool) -> None:
    one = reader(twin, masked=masked)
    data = frame(first, b"valid \xe2\x82\xac \xf4\x90" + b"x" * 1000, masked=masked)
    bad = data.index(b"\x90" if not masked else bytes([0x90 ^ MASK[11 % 4]]), 8)
    one.feed(data[:bad])
    assert one.violation is None
    one.feed(data[bad : bad + 1])
    assert one.violation == (1007, "a text is not UTF-8")


def test_the_limit_counts_all_fragments_and_nothing_else(twin: Any) -> None:
    whole = [frame(0x02, b"x" * 6), frame(PING, b"p" * 100), frame(0x80, b"x" * 4)]
    one = reader(twin, max_size=10)
    assert read_all(one, b"".join(whole) + frame(BINARY, b"y" * 10)) == [b"x" * 10, b"y" * 10]
    for data in (frame(BINARY, b"x" * 11), frame(0x02, b"x" * 6) + frame(0x00, b"x" * 5), frame(BINARY, size=1 << 40)):
        one = reader(twin, max_size=10)
        assert one.feed(data) == []
        assert one.violation == (1009, "a message is larger than max_size (10 bytes), its fragments together")
    one = reader(twin, max_size=0)
    assert one.feed(frame(TEXT) + frame(TEXT, b"x")) == [""]
    assert one.violation[0] == 1009
    with pytest.raises(ValueError, match="negative"):
        reader(twin, max_size=-1)


# --- slices and buffers -----------------------------------------------------------------------------------------------


def test_a_burst_comes_in_slices(twin: Any) -> None:
    one = reader(twin)
    count = 2 * SLICE + 3
    messages = one.feed(b"".join(frame(TEXT, str(number).encode()) for number in range(count)) + frame(CLOSE))
    assert len(messages) == SLICE
    assert one.state == PENDING  # the CLOSE isn't known before the messages before it
    messages += one.more()
    assert one.state == PENDING
    messages += one.more()
    assert messages == [str(number) for number in range(count)]
    assert one.state == CLOSED
    assert one.more() == []
    pings = reader(twin)
    pings.feed(frame(PING) * (SLICE + 1))
    assert pings.state == PENDING | CONTROLS
    assert len(pings.take_controls()) == SLICE
    pings.more()
    assert len(pings.take_controls()) == 1


def read_from(one: Any, data: bytes) -> tuple[list[str | bytes], list[int]]:
    """Read as an event loop does; returns the messages and the sizes of the buffers that were offered."""
    messages: list[str | bytes] = []
    offered: list[int] = []
    while data:
        with one.get_buffer(-1) as buffer:
            offered.append(len(buffer))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
        data = data[size:]
        messages += one.received(size)
        while one.state & PENDING:
            messages += one.more()
    return messages, offered


def test_the_buffer_grows_with_what_comes_and_shrinks_again(twin: Any) -> None:
    one = reader(twin)
    small = frame(TEXT, b"x" * 100)
    assert read_from(one, small)[1] == [4096]
    messages, offered = read_from(one, small * 20_000)
    assert messages == ["x" * 100] * 20_000
    assert offered[0] == 4096
    assert 2**17 - 4096 <= max(offered) <= 2**17
    large = os.urandom(1_000_000)
    messages, offered = read_from(one, frame(BINARY, large))
    assert messages == [large]
    assert max(offered) <= 2**18
    assert len(offered) < 10
    with one.get_buffer(-1) as buffer:
        assert len(buffer) <= 2**17


def test_a_claimed_length_takes_no_memory_before_its_bytes_come(twin: Any) -> None:
    one = reader(twin)
    one.feed(frame(BINARY, b"x", size=1 << 40))
    with one.get_buffer(-1) as buffer:
        assert len(buffer) <= 2**18


def test_a_wrong_count_is_refused(twin: Any) -> None:
    one = reader(twin)
    with pytest.raises(ValueError, match=r"received\(1\), but get_buffer\(\) has offered 0 bytes"):
        one.received(1)
    size = len(one.get_buffer(-1))
    for wrong in (-1, size + 1):
        with pytest.raises(ValueError, match="offered"):
            one.received(wrong)
    assert one.received(0) == []


def test_a_memoryview_that_is_kept_is_never_freed_memory(twin: Any) -> None:
    one = reader(twin)
    kept = one.get_buffer(-1)
    with contextlib.suppress(BufferError):  # C can't move a buffer that is in use; Python takes another one
        read_from(one, frame(BINARY, b"x" * 500_000))
    kept[:] = b"y" * len(kept)
    kept.release()


# --- compression ------------------------------------------------------------------------------------------------------


def doubled(payload: bytes, first: bool, last: bool) -> bytes:
    calls.append((payload, first, last))
    if payload == b"bad":
        raise FrameError(1009, "too much")
    if payload == b"bug":
        raise RuntimeError("ours")
    return payload * 2


TOO_LARGE = (1009, "a message is larger than max_size (20 bytes), its fragments together")
NOT_FIRST = (1002, "the bit of compression is set in a frame that does not begin a message")
calls: list[tuple[bytes, bool, bool]] = []


def test_compressed_messages_are_passed_through_the_function(twin: Any) -> None:
    calls.clear()
    one = reader(twin, inflate=doubled, max_size=20)
    data = (
        frame(0xC1, b"ab")
        + frame(TEXT, b"plain")
        + frame(0x42, b"x")
        + frame(PING)
        + frame(0x00, b"")
        + frame(0x80, b"z")
    )
    assert read_all(one, data, step=3) == ["abab", "plain", b"xxzz"]
    assert calls == [(b"ab", True, True), (b"x", True, False), (b"", False, False), (b"z", False, True)]


@pytest.mark.parametrize(
    ("data", "violation"),
    [
        (frame(0xC1, b"bad"), (1009, "too much")),
        (frame(0xC1, b"x" * 11), TOO_LARGE),
        (frame(0x41, b"x" * 8) + frame(0x80, b"x" * 3), TOO_LARGE),
        (frame(0xC1, size=200), TOO_LARGE),
        (frame(0xC1, b"\xff"), (1007, "a text is not UTF-8")),
        (frame(0x41, b"\xff"), (1007, "a text is not UTF-8")),
        (frame(0x41, b"x") + frame(0xC0), NOT_FIRST),
        (frame(0xC9), NOT_FIRST),
        (frame(0xA1), (1002, "a reserved bit is set, but no extension was agreed on")),
    ],
)
def test_violations_of_compressed_messages(twin: Any, data: bytes, violation: tuple[int, str]) -> None:
    one = reader(twin, inflate=doubled, max_size=20)
    assert one.feed(data) == []
    assert one.violation == violation


def test_an_error_of_the_function_itself_is_raised(twin: Any) -> None:
    with pytest.raises(RuntimeError, match="ours"):
        reader(twin, inflate=doubled).feed(frame(0xC1, b"bug"))


def test_an_exit_while_the_function_runs_is_no_violation(twin: Any) -> None:
    def exit_program(payload: bytes, first: bool, last: bool) -> bytes:
        raise SystemExit(3)  # as the handler of a signal may

    with pytest.raises(SystemExit):
        reader(twin, inflate=exit_program).feed(frame(0xC1, b"data"))


def test_decompressed_megabytes_come_in_slices(twin: Any) -> None:
    one = reader(twin, inflate=lambda payload, first, last: bytes(600_000))
    assert len(one.feed(frame(0xC2, b"x") * 10)) == 2
    assert one.state == PENDING
    assert len(one.more()) == 2


def test_a_reader_in_a_cycle_is_collected(twin: Any) -> None:
    class Owner:
        def inflate(self, payload: bytes, first: bool, last: bool) -> bytes:
            return payload

    def make() -> Callable[[], object]:
        owner: Any = Owner()
        owner.reader = reader(twin, inflate=owner.inflate)
        owner.reader.feed(frame(0x01, b"begun"))
        return weakref.ref(owner)

    gone = make()
    gc.collect()
    assert gone() is None


# --- misuse -----------------------------------------------------------------------------------------------------------


def test_misuse_is_refused(twin: Any) -> None:
    with pytest.raises(TypeError):
        twin.FrameReader()
    with pytest.raises(TypeError):
        reader(twin).feed("text")
    with pytest.raises(ValueError, match="byte"):
        twin.encode_frame(256, b"")
    with pytest.raises(TypeError):
        twin.encode_frame(TEXT, 5)
    with pytest.raises(UnicodeEncodeError):
        twin.encode_frame(TEXT, "\ud800")
    assert "FrameReader" in repr(reader(twin))


def test_control_frames_come_before_the_messages_that_they_are_returned_with(twin: Any) -> None:
    one = reader(twin)
    data = frame(PING, b"1") + frame(TEXT, b"a") + frame(TEXT, b"b") + frame(PONG, b"2") + frame(PING, b"3")
    assert one.feed(data + frame(TEXT, b"c") + frame(PING, b"4") + frame(CLOSE)) == ["a", "b"]
    assert (one.state, one.take_controls()) == (PENDING | CONTROLS, [(9, b"1")])
    assert one.more() == ["c"]
    assert (one.state, one.take_controls()) == (PENDING | CONTROLS, [(10, b"2"), (9, b"3")])
    assert one.more() == []
    assert (one.state, one.take_controls()) == (CONTROLS | CLOSED, [(9, b"4")])


def test_a_control_frame_that_is_incomplete_keeps_nothing_waiting(twin: Any) -> None:
    one = reader(twin)
    assert one.feed(frame(TEXT, b"a") + frame(PING, b"ping")[:-1]) == ["a"]
    assert one.state == 0
    assert one.feed(b"g" + frame(TEXT, b"b")) == ["b"]
    assert one.take_controls() == [(9, b"ping")]
