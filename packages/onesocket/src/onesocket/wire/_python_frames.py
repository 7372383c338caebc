"""The frames of RFC 6455 in Python: the twin of the C module, with the same interface and the same texts."""

from __future__ import annotations

import codecs
import os
import struct
from typing import Final

from ._frame_error import FrameError
from ._frame_flags import CLOSED, CONTROLS, PENDING, SLICE, VIOLATED, Inflate

# Bytes of decompressed messages of one call.
_INFLATED: Final = 1_048_576
# Bytes of the buffer: at first, at most while frames are smaller, and offered at a time within a larger frame.
_SMALLEST: Final = 4096
_USUAL: Final = 131_072
_LARGE_READ: Final = 262_144
# Bytes of random masks that are fetched at once.
_POOL: Final = 4096

_CONTINUATION: Final = 0
_TEXT: Final = 1
_BINARY: Final = 2
_CLOSE: Final = 8
_PONG: Final = 10
_FIN: Final = 0x80
_RSV1: Final = 0x40
_RSV23: Final = 0x30
_MASKED: Final = 0x80
_NO_STATUS: Final = 1005

_decoder: Final = codecs.getincrementaldecoder("utf-8")


class FrameReader:
    """Parses the frames of one connection into whole messages."""

    def __init__(self, *, masked: bool, max_size: int | None = None, inflate: Inflate | None = None) -> None:
        """`masked`: the peer must mask its frames; `max_size`: bytes of a message, None for no limit."""
        if max_size is not None and max_size < 0:
            raise ValueError("max_size is negative")
        self.state = 0
        self.close: tuple[int, str] | None = None
        self.violation: tuple[int, str] | None = None
        self._mask_bit = _MASKED if masked else 0
        self._max_size = max_size
        self._inflate = inflate
        self._controls: list[tuple[int, bytes]] = []
        self._buffer = bytearray()
        self._start = 0
        """The bytes that were read and not parsed are those from `_start` to `_end`."""
        self._end: int = 0
        self._offered: int = 0
        self._was_filled = False
        # The frame whose header was read, while its payload is incomplete.
        self._frame: tuple[int, int, bytes] | None = None
        self._done = 0
        """Bytes of its payload that are unmasked and checked."""
        # The fragmented message under way.
        self._opcode = 0
        self._compressed = False
        self._message = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None

    def __repr__(self) -> str:
        ended = (" closed" if self.close else "") + (" violated" if self.violation else "")
        return f"<FrameReader python unparsed={self._end - self._start}{ended}>"

    # --- bytes --------------------------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int = -1) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return the free space for the next read."""
        unparsed = self._end - self._start
        if not unparsed and len(self._buffer) > _USUAL:
            self._buffer = bytearray()  # it grew for a large frame
            self._start = self._end = 0
            self._was_filled = True
        wanted = _SMALLEST
        if self._was_filled:
            wanted = max(min(len(self._buffer) * 4, _USUAL) - unparsed, _SMALLEST)
        missing = 0 if self._frame is None else max(self._frame[1] - unparsed, 0)
        limit = _LARGE_READ if missing > _USUAL else _USUAL
        self._make_room(max(wanted, min(missing, limit)))
        self._offered = min(len(self._buffer) - self._end, limit)
        return memoryview(self._buffer)[self._end : self._end + self._offered]

    def _make_room(self, wanted: int) -> None:
        if self._start == self._end:
            self._start = self._end = 0
        if len(self._buffer) - self._end >= wanted:
            return
        # A new array: a memoryview of the old one may still be in use, which forbids to resize it.
        unparsed = self._end - self._start
        needed = unparsed + wanted
        size = len(self._buffer)
        if needed > size:
            size = max(needed, 2 * size) if needed > _USUAL else needed
        grown = bytearray(size)
        grown[:unparsed] = memoryview(self._buffer)[self._start : self._end]
        self._buffer = grown
        self._start, self._end = 0, unparsed

    def received(self, count: int) -> list[str | bytes]:
        """Take bytes that were written to the buffer; return whole messages."""
        if not 0 <= count <= self._offered:
            raise ValueError(f"received({count}), but get_buffer() has offered {self._offered} bytes")
        self._was_filled = count == self._offered
        self._offered = 0
        if not self._is_over:
            self._end += count
        return self._parse()

    def feed(self, data: bytes) -> list[str | bytes]:
        """Take these bytes; return whole messages."""
        self._offered = 0
        if data and not self._is_over:
            self._make_room(len(data))
            self._buffer[self._end : self._end + len(data)] = data
            self._end += len(data)
        return self._parse()

    def more(self) -> list[str | bytes]:
        """Return the next messages of those that are waiting."""
        self._offered = 0
        return self._parse()

    def take_controls(self) -> list[tuple[int, bytes]]:
        """Return the PINGs and PONGs since the last call: they came before the messages returned with them."""
        controls, self._controls = self._controls, []
        self.state &= ~CONTROLS
        return controls

    # --- frames -------------------------------------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        return self.close is not None or self.violation is not None

    def _parse(self) -> list[str | bytes]:
        messages: list[str | bytes] = []
        self.state &= ~PENDING
        if not self._is_over:
            try:
                self._parse_frames(messages)
            except FrameError as error:
                self.violation = (error.code, str(error))
                self.state |= VIOLATED
        if self._is_over:
            self._start = self._end = 0
            self._frame = None
            self._forget_message()
        return messages

    def _parse_frames(self, messages: list[str | bytes]) -> None:
        taken = inflated = 0
        while not self._is_over:
            if self._frame is None and not self._mask_bit and not self._opcode and taken < SLICE:
                taken = self._parse_whole_messages(messages, taken)
            if taken == SLICE or inflated >= _INFLATED:
                if self._start < self._end:
                    self.state |= PENDING
                return
            if self._frame is None and not self._read_header():
                return
            if messages and self._is_ping_or_pong():
                self.state |= PENDING  # the control frames of a call came before its messages
                return
            payload = self._read_payload()
            if payload is None or self._frame is None:
                return
            first, length, _ = self._frame
            self._frame = None
            self._start += length
            taken += 1
            if first & 0x08:
                self._take_control(first & 0x0F, payload)
            else:
                inflated += self._take_data(messages, first, payload)

    def _parse_whole_messages(self, messages: list[str | bytes], taken: int) -> int:
        """Take what servers send most: whole, unmasked, uncompressed messages. Anything else is left."""
        buffer, start, end = self._buffer, self._start, self._end
        limit = end if self._max_size is None else self._max_size
        try:
            while taken < SLICE and start + 4 < end:
                first = buffer[start]
                length = buffer[start + 1]
                place = start + 2
                if length >= 126:
                    if length != 126:
                        break
                    length = buffer[place] << 8 | buffer[start + 3]
                    place = start + 4
                after = place + length
                if after > end or length > limit:
                    break
                if first == 0x81:  # FIN, TEXT
                    messages.append(buffer[place:after].decode())
                elif first == 0x82:  # FIN, BINARY
                    messages.append(bytes(buffer[place:after]))
                else:
                    break
                start = after
                taken += 1
        except UnicodeDecodeError:
            pass  # the slow path says so
        self._start = start
        return taken

    def _read_header(self) -> bool:
        """Read the header of the next frame; False if bytes are missing."""
        buffer, start = self._buffer, self._start
        available = self._end - start
        if available < 2:
            return False
        first, second = buffer[start], buffer[start + 1]
        length = second & 0x7F
        size = 2 if length < 126 else 4 if length == 126 else 10
        whole = size + (4 if second & _MASKED else 0)
        if available < whole:
            self._check_header(first, second, 0)  # what is wrong with the first two bytes needn't wait for the others
            return False
        if size > 2:
            length = int.from_bytes(buffer[start + 2 : start + size], "big")
        self._check_header(first, second, length)
        self._frame = (first, length, bytes(buffer[start + size : start + whole]))
        self._done = 0
        self._start = start + whole
        return True

    def _check_header(self, first: int, second: int, length: int) -> None:
        opcode = first & 0x0F
        is_control = opcode >= _CLOSE
        if first & _RSV23 or (first & _RSV1 and self._inflate is None):
            raise FrameError(1002, "a reserved bit is set, but no extension was agreed on")
        if first & _RSV1 and (is_control or opcode == _CONTINUATION):
            raise FrameError(1002, "the bit of compression is set in a frame that does not begin a message")
        if _BINARY < opcode < _CLOSE or opcode > _PONG:
            raise FrameError(1002, f"opcode {opcode} is unknown")
        if second & _MASKED != self._mask_bit:
            raise FrameError(1002, "a frame is not masked" if self._mask_bit else "a frame is masked")
        if is_control:
            _check_control(first, second)
        else:
            self._check_data(first, opcode, length)

    def _check_data(self, first: int, opcode: int, length: int) -> None:
        if opcode == _CONTINUATION and not self._opcode:
            raise FrameError(1002, "a message is continued that never began")
        if opcode != _CONTINUATION and self._opcode:
            raise FrameError(1002, "a message begins before the fragmented one is complete")
        if length >> 63:
            raise FrameError(1002, "a frame is longer than 2**63 bytes")
        is_compressed = self._compressed if opcode == _CONTINUATION else bool(first & _RSV1)
        limit = self._max_size
        if limit is not None and is_compressed:
            # A compressed frame can be a little longer than its message.
            if length > limit + limit // 1000 + 64:
                raise self._too_big()
        else:
            self._check_size(length)

    def _check_size(self, length: int) -> None:
        if self._max_size is not None and len(self._message) + length > self._max_size:
            raise self._too_big()

    def _too_big(self) -> FrameError:
        return FrameError(1009, f"a message is larger than max_size ({self._max_size} bytes), its fragments together")

    def _is_ping_or_pong(self) -> bool:
        """Return whether the frame under way is one, and complete."""
        if self._frame is None:
            return False
        first, length, _ = self._frame
        return first & 0x0F > _CLOSE and self._end - self._start >= length

    def _read_payload(self) -> bytes | None:
        """Return the payload, unmasked, once it is complete; check its text as far as it has come."""
        if self._frame is None:
            return None
        first, length, mask = self._frame
        arrived = min(length, self._end - self._start)
        done, self._done = self._done, arrived
        fresh = self._buffer[self._start + done : self._start + arrived]
        if mask:
            fresh = _apply_mask(fresh, mask[done & 3 :] + mask[: done & 3])
            if done or arrived < length:
                self._buffer[self._start + done : self._start + arrived] = fresh
        opcode = first & 0x0F
        is_whole = not done and arrived == length and opcode == _TEXT and first & _FIN
        is_text = (opcode == _TEXT and not first & _RSV1) or (
            opcode == _CONTINUATION and self._opcode == _TEXT and not self._compressed
        )
        if is_text and not is_whole:
            self._check_text(fresh)
        if arrived < length:
            return None
        return bytes(self._buffer[self._start : self._start + length]) if done else bytes(fresh)

    def _check_text(self, data: bytes | bytearray) -> None:
        if self._decoder is None:
            self._decoder = _decoder()
        try:
            self._decoder.decode(data)
        except UnicodeDecodeError:
            raise _not_utf8() from None

    # --- payloads -----------------------------------------------------------------------------------------------------

    def _take_control(self, opcode: int, payload: bytes) -> None:
        if opcode != _CLOSE:
            self._controls.append((opcode, payload))
            self.state |= CONTROLS
            return
        code = int.from_bytes(payload[:2], "big") if payload else _NO_STATUS
        if len(payload) == 1:
            raise FrameError(1002, "a CLOSE frame has one byte")
        if payload and not _is_sendable(code):
            raise FrameError(1002, f"close code {code} must not be sent")
        try:
            self.close = (code, payload[2:].decode())
        except UnicodeDecodeError:
            raise FrameError(1007, "the reason of a CLOSE is not UTF-8") from None
        self.state |= CLOSED

    def _take_data(self, messages: list[str | bytes], first: int, payload: bytes) -> int:
        """Take the whole payload of a data frame; return how many bytes were decompressed."""
        is_last = bool(first & _FIN)
        opcode = first & 0x0F
        is_first = opcode != _CONTINUATION
        if is_first:
            self._opcode = opcode
            self._compressed = bool(first & _RSV1)
        inflated = 0
        if self._compressed and self._inflate is not None:
            payload = self._inflate(payload, is_first, is_last)
            inflated = len(payload)
        self._check_size(len(payload))
        if is_first and is_last:
            messages.append(_message(self._opcode, payload))
            self._forget_message()
            return inflated
        if self._opcode == _TEXT and self._compressed:
            self._check_text(payload)
        self._message += payload
        if is_last:
            messages.append(_message(self._opcode, self._message))
            self._forget_message()
        return inflated

    def _forget_message(self) -> None:
        self._opcode = 0
        self._compressed = False
        self._decoder = None
        if self._message:
            self._message = bytearray()


def _check_control(first: int, second: int) -> None:
    if not first & _FIN:
        raise FrameError(1002, "a control frame is fragmented")
    if second & 0x7F > 125:
        raise FrameError(1002, "a control frame is longer than 125 bytes")


def _is_sendable(code: int) -> bool:
    """Return whether a peer may send this close code: a registered one, or one for libraries and applications."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code < 5000


def _message(opcode: int, payload: bytes | bytearray) -> str | bytes:
    if opcode != _TEXT:
        return bytes(payload)
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise _not_utf8() from None


def _not_utf8() -> FrameError:
    return FrameError(1007, "a text is not UTF-8")


# --- writing ----------------------------------------------------------------------------------------------------------


def _apply_mask(data: bytes | bytearray, mask: bytes) -> bytearray:
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    number = int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")
    return bytearray(number.to_bytes(size, "little"))


class _Masks:
    """Random masks; they are fetched by the thousand, since each call of the system costs more than a frame."""

    def __init__(self) -> None:
        self._pool = b""
        self._place = 0

    def next(self) -> bytes:
        """Return four random bytes."""
        if self._place == len(self._pool):
            self._pool = os.urandom(_POOL)
            self._place = 0
        self._place += 4
        return self._pool[self._place - 4 : self._place]

    def forget(self) -> None:
        """Forget what was fetched: a forked child calls this."""
        self._pool, self._place = b"", 0


_masks: Final = _Masks()
forget_masks: Final = _masks.forget


def encode_frame(first: int, payload: str | bytes | bytearray | memoryview, masked: bool = False) -> bytes:  # noqa: FBT001, FBT002 - the C twin's signature
    """Return one frame."""
    if not 0 <= first <= 255:
        raise ValueError("first is no byte")
    data = payload.encode() if isinstance(payload, str) else bytes(memoryview(payload))
    size = len(data)
    bit = _MASKED if masked else 0
    if size < 126:
        header = bytes((first, bit | size))
    elif size < 65_536:
        header = struct.pack("!BBH", first, bit | 126, size)
    else:
        header = struct.pack("!BBQ", first, bit | 127, size)
    if not masked:
        return header + data
    mask = _masks.next()
    return b"".join((header, mask, _apply_mask(data, mask)))
