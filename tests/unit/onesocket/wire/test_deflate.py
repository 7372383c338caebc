"""The inflater against a sender of every habit that RFC 7692 allows, and against bytes that no sender makes; and the
deflater against zlib and `websockets`."""

import random
import tracemalloc
import zlib

import pytest

from onesocket.wire._deflate import Deflater, Inflater
from onesocket.wire._frame_error import FrameError

WORDS = [b"price", b"symbol", b"ABC", b'{"a":', b"}", b"0123456789" * 7, bytes(range(256))]


class DeflateSender:
    """Compresses messages one after the other; `context` is what it may still refer to."""

    def __init__(self, bits: int, *, takeover: bool, chance: random.Random) -> None:
        self._bits = bits
        self._takeover = takeover
        self._chance = chance
        self._window = b""
        self._stream = self._begin()

    def _begin(self) -> "zlib._Compress":
        # With a dictionary it goes on referring to what came before its final block.
        window = self._window[-(1 << self._bits) + 262 :] if self._chance.random() < 0.5 else b""
        if window:
            return zlib.compressobj(wbits=-self._bits, zdict=window)
        return zlib.compressobj(wbits=-self._bits)

    def pack(self, message: bytes) -> bytes:
        if not self._takeover:
            self._window = b""
            self._stream = self._begin()
        payload = b""
        parts = self._chance.randrange(1, 4)
        for part in range(parts):
            piece = message[len(message) * part // parts : len(message) * (part + 1) // parts]
            payload += self._stream.compress(piece)
            self._window += piece
            if self._chance.random() < 0.4:
                payload += self._stream.flush(zlib.Z_FINISH)
                self._stream = self._begin()
                if part == parts - 1:
                    return payload + self._chance.choice([b"\x00", b""])
            elif part < parts - 1 and self._chance.random() < 0.5:
                payload += self._stream.flush(zlib.Z_FULL_FLUSH)
        payload += self._stream.flush(zlib.Z_SYNC_FLUSH)
        assert payload.endswith(b"\x00\x00\xff\xff")
        return payload[:-4]


def pieces(data: bytes, chance: random.Random) -> list[bytes]:
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(4)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def inflate(inflater: Inflater, parts: list[bytes]) -> bytes:
    last = len(parts) - 1
    return b"".join(inflater.inflate(part, number == 0, number == last) for number, part in enumerate(parts))


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [9, 15])
@pytest.mark.parametrize("limited", [True, False])
def test_messages_arrive_as_they_were_sent(bits: int, *, takeover: bool, limited: bool) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    for _ in range(40):
        sender = DeflateSender(bits, takeover=takeover, chance=chance)
        messages = [b"".join(chance.choices(WORDS, k=chance.choice([0, 1, 5, 2000]))) for _ in range(20)]
        limit = max(map(len, messages)) if limited else None
        inflater = Inflater(bits, context_takeover=takeover, max_size=limit)
        for message in messages:
            assert inflate(inflater, pieces(sender.pack(message), chance)) == message


def test_a_message_that_is_cut_off_anywhere_is_never_delivered() -> None:
    message = b"".join(random.Random(3).choices(WORDS, k=300))
    packed = DeflateSender(15, takeover=True, chance=random.Random(3)).pack(message)
    whole = {len(packed)}
    for size in range(1, len(packed)):
        inflater = Inflater(15, context_takeover=True)
        try:
            found = inflate(inflater, [packed[:size]])
        except FrameError:
            continue
        # It ended between two blocks, and so may be complete: the delivered part is right.
        whole.add(size)
        assert message.startswith(found)
    assert len(whole) < 12


def test_any_bytes_end_in_a_message_or_in_an_error() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - as above
    chance = random.Random(seed)
    for _ in range(2000):
        inflater = Inflater(15, context_takeover=True, max_size=100)
        for _ in range(3):
            data = bytearray(zlib.compress(chance.randbytes(20) * 3)[2:-4])
            data[chance.randrange(len(data))] = chance.randrange(256)
            try:
                assert len(inflate(inflater, pieces(bytes(data), chance))) <= 100
            except FrameError as error:
                assert error.code in (1002, 1009)  # noqa: PT017 - either result is right
                break


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("frames", [1, 50])
def test_a_bomb_costs_no_more_than_the_limit(frames: int, *, final: bool) -> None:
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(50_000_000)) + packer.flush(zlib.Z_FINISH if final else zlib.Z_SYNC_FLUSH)
    size = len(bomb) // frames + 1
    parts = [bomb[begin : begin + size] for begin in range(0, len(bomb), size)]
    inflater = Inflater(15, context_takeover=True, max_size=1000)
    tracemalloc.start()
    try:
        with pytest.raises(FrameError, match="larger than max_size") as caught:
            inflate(inflater, parts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == 1009
    assert peak < 1_000_000


@pytest.mark.parametrize("payload", [b"\x03\x00" * 17, b"\x03\x00" * 100_000])
def test_final_blocks_without_end_are_refused(payload: bytes) -> None:
    with pytest.raises(FrameError, match="final DEFLATE blocks"):
        Inflater(15, context_takeover=True).inflate(payload, True, True)


def test_sixteen_final_blocks_in_a_frame_are_allowed() -> None:
    inflater = Inflater(15, context_takeover=True)
    assert inflater.inflate(zlib.compress(b"a", wbits=-15) * 16, True, True) == b"a" * 16


@pytest.mark.parametrize("fragmented", [True, False])
def test_blocks_without_output_are_not_remembered(*, fragmented: bool) -> None:
    inflater = Inflater(15, context_takeover=True, max_size=1000)
    empty = b"\x00\x00\x00\xff\xff" if fragmented else b"\x00"
    inflater.inflate(empty, True, not fragmented)
    tracemalloc.start()
    try:
        for _ in range(50_000):
            assert inflater.inflate(empty, not fragmented, not fragmented) == b""
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 100_000


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", range(8, 16))
def test_zlib_reads_deflated_messages_within_the_window(bits: int, *, takeover: bool) -> None:
    deflater = Deflater(bits, context_takeover=takeover)
    reader = zlib.decompressobj(-bits)
    chance = random.Random(bits)
    for _ in range(30):
        message = b"".join(chance.choices(WORDS, k=chance.choice([0, 1, 5, 300])))
        if not takeover:
            reader = zlib.decompressobj(-bits)
        packed = deflater.deflate(message)
        assert packed
        assert read_strictly(reader, packed + b"\x00\x00\xff\xff") == message


def read_strictly(reader: "zlib._Decompress", packed: bytes) -> bytes:
    """Decompress byte by byte: otherwise zlib follows references beyond the window into its output."""
    found = b""
    while True:
        byte = reader.decompress(packed, 1)
        packed = reader.unconsumed_tail
        found += byte
        if not packed and not byte:
            return found


def test_repeated_messages_shrink_only_by_context_takeover() -> None:
    message = random.Random(1).randbytes(500)
    keeps, forgets = Deflater(15, context_takeover=True), Deflater(15, context_takeover=False)
    assert len(keeps.deflate(message)) > 500
    assert len(keeps.deflate(message)) < 20
    assert forgets.deflate(message) == forgets.deflate(message)


@pytest.mark.parametrize("bits", [8, 9, 12, 15])
@pytest.mark.parametrize("takeover", [True, False])
def test_inflater_and_deflater_suit_each_other(bits: int, *, takeover: bool) -> None:
    deflater = Deflater(bits, context_takeover=takeover)
    inflater = Inflater(bits, context_takeover=takeover)
    chance = random.Random(7)
    for _ in range(50):
        message = b"".join(chance.choices(WORDS, k=chance.choice([0, 1, 5, 300])))
        assert inflate(inflater, pieces(deflater.deflate(message), chance)) == message
