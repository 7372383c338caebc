"""Both compressions, both framings of zstd, and bombs."""

import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from onesocket.errors import InvalidOption
from onesocket_discord.protocol import DecompressionBomb, DecompressionFailed
from onesocket_discord.protocol._decompression import (
    CHUNK_SIZE,
    Decompressor,
    ZlibStreamDecompressor,
    ZstdStreamDecompressor,
    checked_compress,
)
from onesocket_discord.protocol._zstd import zstd

Pack = Callable[[bytes], bytes]
TEXTS = [
    b'{"op":10}',
    b'{"op":0,"d":"%s"}' % (b"again " * 5000),
    b'{"op":11}',
    b"x" * 3 * CHUNK_SIZE,
    b"y" * CHUNK_SIZE,
]


def zlib_stream() -> Pack:
    stream = zlib.compressobj()
    return lambda text: stream.compress(text) + stream.flush(zlib.Z_SYNC_FLUSH)


def one_frame() -> Pack:
    stream = zstd.ZstdCompressor()
    return lambda text: stream.compress(text, stream.FLUSH_BLOCK)


def a_frame_each() -> Pack:
    pack: Pack = zstd.compress
    return pack


KINDS = pytest.mark.parametrize(
    ("make", "packer"),
    [
        (ZlibStreamDecompressor, zlib_stream),
        (ZstdStreamDecompressor, one_frame),
        (ZstdStreamDecompressor, a_frame_each),
    ],
)


@KINDS
def test_every_message_is_one_payload(make: type[Decompressor], packer: Callable[[], Pack]) -> None:
    pack, inflater = packer(), make(None)
    assert [inflater.feed(pack(text)) for text in TEXTS] == TEXTS


def test_zlib_waits_for_the_end_of_a_flush() -> None:
    pack, inflater = zlib_stream(), ZlibStreamDecompressor(None)
    for text in TEXTS:
        data = pack(text)
        pieces = [data[:3], data[3:-2], data[-2:]]
        assert [inflater.feed(piece) for piece in pieces] == [None, None, text]


def test_several_frames_of_one_message_are_one_payload() -> None:
    inflater = ZstdStreamDecompressor(None)
    for _ in range(2):
        assert inflater.feed(zstd.compress(b"one ") + zstd.compress(b"") + zstd.compress(b"two")) == b"one two"
    whole = zstd.compress(b"in pieces")
    assert [inflater.feed(whole[:5]), inflater.feed(whole[5:])] == [b"", b"in pieces"]


@KINDS
@pytest.mark.parametrize("limit", [1000, CHUNK_SIZE])
def test_the_limit_is_exact(make: type[Decompressor], packer: Callable[[], Pack], limit: int) -> None:
    pack, inflater = packer(), make(limit)
    assert inflater.feed(pack(b"z" * limit)) == b"z" * limit
    with pytest.raises(DecompressionBomb, match=str(limit)):
        inflater.feed(pack(b"z" * (limit + 1)))


@KINDS
def test_a_bomb_is_noticed_before_it_takes_memory(make: type[Decompressor], packer: Callable[[], Pack]) -> None:
    bomb = packer()(bytes(100 << 20))
    assert len(bomb) < 200_000
    inflater = make(1 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(DecompressionBomb):
            inflater.feed(bomb)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_what_never_ends_is_bounded_too() -> None:
    inflater = ZlibStreamDecompressor(1000)
    assert inflater.feed(bytes(1000)) is None
    with pytest.raises(DecompressionBomb):
        inflater.feed(b"1")


def test_a_frame_that_asks_for_too_much_memory_is_refused() -> None:
    stream = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    data = stream.compress(b"text", stream.FLUSH_BLOCK)
    with pytest.raises(DecompressionFailed):
        ZstdStreamDecompressor(None).feed(data)


@KINDS
def test_garbage_is_a_typed_error(make: type[Decompressor], packer: Callable[[], Pack]) -> None:
    with pytest.raises(DecompressionFailed) as caught:
        make(None).feed(b"garbage, surely\x00\x00\xff\xff")
    assert caught.value.retryable


def test_a_zlib_stream_that_ends_is_broken() -> None:
    with pytest.raises(DecompressionFailed, match="ended"):
        ZlibStreamDecompressor(None).feed(zlib.compress(b"{}") + b"\x00\x00\xff\xff")


@pytest.mark.parametrize("value", ["gzip", "zlib", True, 1, b"zlib-stream"])
def test_other_compressions_are_refused(value: object) -> None:
    with pytest.raises(InvalidOption, match="compress"):
        checked_compress(value)
