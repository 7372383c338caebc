"""The twins against each other, and against the parser of the library `websockets`, on random streams of frames."""

import codecs
import dataclasses
import os
from collections.abc import Generator
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, Frame
from websockets.streams import StreamReader

from onesocket.wire import _python_frames as python
from onesocket.wire._frame_error import FrameError
from onesocket.wire._frame_flags import CLOSED, PENDING, SLICE, VIOLATED
from tests.unit.onesocket.wire.twins import TWINS

native: Any = TWINS.get("c", python)  # without a compiler, only the third opinion is left

EXAMPLES = int(os.environ.get("ONESOCKET_FUZZ_EXAMPLES", "150"))
"""Streams of each test; `make fuzz` asks for more."""

SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 124, 125, 126, 127, 128, 600, 4096, 65_535, 65_536, 65_537, 140_000)
TEXTS = ("", "a", "ä", "€", "𝄞", "\x00", "ÿ\ud7ff\ue000\U0010ffff", "end")
BROKEN_TEXTS = (b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf5", b"\xe2\x82", b"\xf0\x9d\x84")
CODES = (0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 65_535)


def head_of(first: int, second: int, length: int) -> bytes:
    """The head of a frame; `second`: the bit of masking, and the length where it is to be another one."""
    if second & 0x7F:
        return bytes((first, second))
    if length < 126:
        return bytes((first, second | length))
    if length < 65_536:
        return bytes((first, second | 126)) + length.to_bytes(2, "big")
    return bytes((first, second | 127)) + length.to_bytes(8, "big")


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    match draw(st.sampled_from(["size", "text", "text", "broken", "close", "bytes"])):
        case "size":
            return draw(st.sampled_from((b"x", b"\xc3\xa4", b"\xff"))) * draw(st.sampled_from(SIZES))
        case "text":
            return "".join(draw(st.lists(st.sampled_from(TEXTS), max_size=6))).encode(errors="surrogatepass")
        case "broken":
            return (
                b"ok" * draw(st.integers(0, 5))
                + draw(st.sampled_from(BROKEN_TEXTS))
                + draw(st.sampled_from((b"", b"ok")))
            )
        case "close":
            return draw(st.sampled_from(CODES)).to_bytes(2, "big") + draw(st.sampled_from((b"", b"bye", b"\xff")))
        case _:
            return draw(st.binary(max_size=200))


FIRST_BYTES = st.one_of(
    st.sampled_from((0x81, 0x82, 0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8A, 0xC1, 0xC2, 0x41, 0x42)),
    st.integers(0, 255),
)


@st.composite
def frames(draw: st.DrawFn, masked: bool) -> bytes:
    first = draw(FIRST_BYTES)
    bit = 0x80 if masked else 0
    if draw(st.integers(0, 49)) == 0:
        bit ^= 0x80
    payload = draw(payloads())
    if first & 0x08 and draw(st.integers(0, 9)):
        payload = payload[:125]
    if draw(st.integers(0, 39)) == 0:  # a head that claims any length
        return head_of(first, bit | draw(st.integers(1, 127)), 0) + draw(st.binary(max_size=20))
    mask = draw(st.sampled_from((b"\0\0\0\0", b"\x01\x80\xff\x7e"))) if bit else b""
    if mask:
        payload = bytes(python._apply_mask(payload, mask))
    return head_of(first, bit, len(payload)) + mask + payload


@st.composite
def fragmented(draw: st.DrawFn, masked: bool) -> bytes:
    """A valid message in pieces, cut within characters too, with PINGs between them."""
    text = "".join(draw(st.lists(st.sampled_from(TEXTS), max_size=20))).encode(errors="surrogatepass")
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    kind = draw(st.sampled_from((1, 2)))
    bit, mask = (0x80, b"\x09\x08\x07\x06") if masked else (0, b"")
    stream = b""
    for place, piece in enumerate(pieces):
        first = (0 if place else kind) | (0x80 if place == len(pieces) - 1 else 0)
        body = bytes(python._apply_mask(piece, mask)) if mask and piece else piece
        stream += head_of(first, bit, len(piece)) + mask + body
        if draw(st.booleans()):
            stream += b"\x89" + bytes([bit]) + mask
    return stream


@dataclasses.dataclass(frozen=True)
class Case:
    """A stream, the options of its reader, and how it is cut."""

    masked: bool
    max_size: int | None
    inflates: bool
    stream: bytes
    steps: tuple[int, ...]
    by_buffer: bool
    late: bool
    """Call `more()` only after all has been fed."""


@st.composite
def cases(draw: st.DrawFn) -> Case:
    masked = draw(st.booleans())
    parts = draw(st.lists(st.one_of(frames(masked), fragmented(masked)), min_size=1, max_size=6))
    stream = b"".join(parts)
    if draw(st.integers(0, 9)) == 0:  # more than comes in one call
        stream = (head_of(0x81, 0x80 if masked else 0, 0) + (b"mask" if masked else b"")) * draw(
            st.sampled_from((511, 512, 513, 1300))
        ) + stream
    small = len(stream) < 5000
    steps = draw(st.lists(st.sampled_from((1, 2, 3, 7, 64, 1000) if small else (997, 70_000)), min_size=1, max_size=4))
    return Case(
        masked,
        draw(st.sampled_from((None, 0, 1, 125, 126, 300, 65_536, 1_000_000))),
        draw(st.booleans()),
        stream,
        (len(stream),) if draw(st.booleans()) else tuple(steps),
        by_buffer=draw(st.booleans()),
        late=draw(st.booleans()),
    )


def inflate(data: bytes, first: bool, last: bool) -> bytes:
    """Stand in for zlib: twice as many bytes, or a violation."""
    if data[:1] == b"\xff":
        raise FrameError(1007, f"no deflate data ({first}, {last})")
    return data * 2


def pieces(case: Case) -> Generator[bytes, None, None]:
    start = turn = 0
    while start < len(case.stream):
        end = start + case.steps[turn % len(case.steps)]
        yield case.stream[start:end]
        start, turn = end, turn + 1


def pour(reader: Any, data: bytes) -> list[str | bytes]:
    """Write to the reader's buffer as an event loop does."""
    messages: list[str | bytes] = []
    while data:
        view = reader.get_buffer(-1)
        count = min(len(view), len(data))
        view[:count] = data[:count]
        del view
        messages += reader.received(count)
        data = data[count:]
    return messages


@dataclasses.dataclass
class Outcome:
    """All that a reader gave."""

    messages: list[str | bytes]
    controls: list[tuple[int, bytes]]
    close: tuple[int, str] | None
    violation: tuple[int, str] | None
    state: int


def outcome(twin: Any, case: Case) -> Outcome:
    reader = twin.FrameReader(masked=case.masked, max_size=case.max_size, inflate=inflate if case.inflates else None)
    messages: list[str | bytes] = []
    controls: list[tuple[int, bytes]] = []
    for piece in pieces(case):
        batch = pour(reader, piece) if case.by_buffer else reader.feed(piece)
        assert len(batch) <= SLICE or case.by_buffer
        messages += batch
        while not case.late and reader.state & PENDING:
            messages += reader.more()
            controls += reader.take_controls()
    while reader.state & PENDING:
        messages += reader.more()
    controls += reader.take_controls()
    assert reader.more() == []
    return Outcome(messages, controls, reader.close, reader.violation, reader.state)


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
@example(Case(False, None, False, b"\x01\x02\xc3\xa4\x80\x01\xc3", (1,), False, False))
def test_both_twins_say_the_same(case: Case) -> None:
    assert outcome(native, case) == outcome(python, case)


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_how_a_stream_is_cut_makes_no_difference(case: Case) -> None:
    whole = dataclasses.replace(case, steps=(len(case.stream),), by_buffer=False, late=False)
    assert outcome(native, case) == outcome(native, whole)


@settings(max_examples=EXAMPLES, deadline=None)
@given(payloads(), st.booleans(), st.sampled_from((0x01, 0x02, 0x81, 0x82, 0x88, 0x89, 0xC2)))
def test_both_twins_write_the_same_frames(payload: bytes, masked: bool, first: int) -> None:
    written = [bytes(twin.encode_frame(first, payload, masked)) for twin in (native, python)]
    size = len(written[0]) - len(payload)
    heads = [frame[: size - 4] if masked else frame[:size] for frame in written]
    assert heads[0] == heads[1] == head_of(first, 0x80 if masked else 0, len(payload))
    for frame in written:
        body, mask = frame[size:], frame[size - 4 : size]
        assert payload == (bytes(b ^ mask[i % 4] for i, b in enumerate(body)) if masked else body)


# --- a foreign opinion ------------------------------------------------------------------------------------------------


class ForeignError(Exception):
    """The code of a violation, as the library `websockets` sees it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ForeignReader:
    """Puts messages together from the frames that the sans-IO parser of `websockets` finds."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._stream = StreamReader()
        self._stream.feed_data(case.stream)
        self._stream.feed_eof()
        self._parts: list[bytes] = []
        self._opcode: int | None = None
        self.outcome = Outcome([], [], None, None, 0)

    def run(self) -> Outcome:
        """Parse up to the end, a CLOSE or a violation, of which only the code is said."""
        try:
            while self.outcome.close is None and self._next():
                pass
        except ForeignError as error:
            self.outcome.violation = (1007 if self._is_broken_so_far() else error.code, "")
        return self.outcome

    def _is_broken_so_far(self) -> bool:
        """Return whether the message under way is no text already; that library isn't asked before its end."""
        try:
            codecs.getincrementaldecoder("utf-8")().decode(b"".join(self._parts))
        except UnicodeDecodeError:
            return self._opcode == 1
        return False

    def _next(self) -> bool:
        head = self._stream.buffer[:1]
        left = None
        # That library counts control frames, too, which have a limit of their own.
        if self._case.max_size is not None and head and not head[0] & 0x08:
            left = self._case.max_size - sum(map(len, self._parts))
        parser = Frame.parse(self._stream.read_exact, mask=self._case.masked, max_size=left)
        try:
            next(parser)
        except StopIteration as stop:
            self._take(stop.value)
            return True
        except EOFError:
            return False
        except PayloadTooBig:  # of several wrongs that library says the size, and we what the first byte says
            is_in_order = (head[0] & 0x0F == 0) == (self._opcode is not None)
            raise ForeignError(1009 if is_in_order and not head[0] & 0x70 else 1002) from None
        except ProtocolError:
            raise ForeignError(1002) from None
        raise AssertionError("the parser waits for bytes after the end")

    def _take(self, frame: Frame) -> None:
        match frame.opcode.value:
            case 8:
                self._take_close(bytes(frame.data))
            case 9 | 10 as opcode:
                self.outcome.controls.append((opcode, bytes(frame.data)))
            case 0 if self._opcode is None:
                raise ForeignError(1002)
            case 1 | 2 if self._opcode is not None:
                raise ForeignError(1002)
            case opcode:
                self._opcode = opcode or self._opcode
                self._parts.append(bytes(frame.data))
                if self._is_broken_so_far():
                    raise ForeignError(1007)
                if frame.fin:
                    self._finish()

    def _take_close(self, data: bytes) -> None:
        try:
            Close.parse(data[:2])  # where the code is wrong and the reason as well, that library says the latter
            close = Close.parse(data)
        except ProtocolError:
            raise ForeignError(1002) from None
        except UnicodeDecodeError:
            raise ForeignError(1007) from None
        self.outcome.close = (int(close.code), close.reason)

    def _finish(self) -> None:
        whole = b"".join(self._parts)
        try:
            self.outcome.messages.append(whole.decode() if self._opcode == 1 else whole)
        except UnicodeDecodeError:
            raise ForeignError(1007) from None
        self._opcode, self._parts = None, []


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_websockets_is_of_the_same_opinion(case: Case) -> None:
    # The zeros complete a head that was cut off: theirs finds a length too large before the mask has come.
    case = dataclasses.replace(case, inflates=False, stream=case.stream + bytes(14))
    ours, theirs = outcome(native, case), ForeignReader(case).run()
    if ours.violation is not None and ours.violation != theirs.violation:
        # We say what is wrong before the frame or its message is complete; theirs waits for bytes that may be missing.
        theirs.violation = theirs.violation or (ours.violation[0], "")
    ours.violation = ours.violation and (ours.violation[0], "")
    assert ours.violation == theirs.violation
    assert (ours.messages, ours.controls, ours.close) == (theirs.messages, theirs.controls, theirs.close)
    assert bool(ours.state & CLOSED) == (theirs.close is not None)
    assert bool(ours.state & VIOLATED) == (theirs.violation is not None)
