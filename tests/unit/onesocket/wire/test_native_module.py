"""The C module alone: calls from within, and the memory that it leaves behind."""

import contextlib
import gc
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onesocket import wire
from onesocket.wire._frame_error import FrameError
from tests.unit.onesocket.wire.twins import TWINS

native: Any = TWINS["c"]
COMPRESSED_TEXT = b"\xc1\x01x"


def test_a_build_by_one_python_serves_all_others() -> None:
    source = Path(wire.__file__).with_name("_native.c")
    text = source.read_text("utf-8") if source.exists() else ""  # a wheel has none
    # Headers of 3.13 make calls of "y#" that older interpreters refuse.
    assert re.findall(r'"[^"\n]*#[^"\n]*"', re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda reader: reader.feed(b"\xff\xff"),
        lambda reader: reader.feed(b"x" * 300_000),
        lambda reader: reader.more(),
        lambda reader: reader.get_buffer(),
        lambda reader: reader.received(0),
    ],
    ids=["feed-violation", "feed-much", "more", "get_buffer", "received"],
)
def test_inflate_can_not_call_its_own_reader(call: Callable[[Any], object]) -> None:
    def inflate(data: bytes, _first: bool, _last: bool) -> bytes:
        call(readers[0])
        return data

    readers = [native.FrameReader(masked=False, inflate=inflate)]
    with pytest.raises(RuntimeError, match="while it parses"):
        readers[0].feed(COMPRESSED_TEXT)
    readers.clear()


def refuse(_data: bytes, _first: bool, _last: bool) -> bytes:
    raise FrameError(1007, "no deflate data")


def broken(_data: bytes, _first: bool, _last: bool) -> bytes:
    raise KeyError("a bug")


def no_bytes(_data: bytes, _first: bool, _last: bool) -> Any:
    return "text"


def plain(data: bytes, _first: bool, _last: bool) -> bytes:
    return data


STREAMS: list[tuple[bytes, dict[str, Any]]] = [
    (b"\x81\x05hello\x82\x03\x00\x01\x02", {}),
    (b"\x81\x02\xff\xff", {}),
    (b"\x01\x02\xc3\xa4\x80\x01x\x00\x01\x02\x80\x01", {}),
    (b"\x89\x04ping\x8a\x04pong\x88\x06\x03\xe8done", {}),
    (b"\x88\x04\x03\xe8\xff\xff\x81\x01x", {}),
    (b"\x88\x01x", {}),
    (b"\x83\x00", {}),
    (b"\x81\x85\x01\x02\x03\x04ig\x6fhm", {"masked": True}),
    (b"\x02\x7e\x10\x00" + b"x" * 4096, {"max_size": 5000}),
    (b"\x82\x7f\x00\x00\x00\x00\x00\x03\x00\x00" + b"x" * 0x30000, {}),
    (b"\x82\x7e\x10\x00", {"max_size": 100}),
    (COMPRESSED_TEXT, {"inflate": plain}),
    (b"\x41\x01\xc3\x80\x01\xa4", {"inflate": plain}),
    (COMPRESSED_TEXT, {"inflate": refuse}),
    (COMPRESSED_TEXT, {"inflate": broken}),
    (COMPRESSED_TEXT, {"inflate": no_bytes}),
]


def everything() -> None:
    """Call everything that the module has, errors included, with results that are dropped."""
    for stream, options in STREAMS:
        for step in (1, len(stream)) if len(stream) < 1000 else (1000,):
            reader = native.FrameReader(**{"masked": False, **options})
            with contextlib.suppress(KeyError, TypeError):
                for start in range(0, len(stream), step):
                    reader.feed(stream[start : start + step])
            buffer = reader.get_buffer(-1)
            buffer[:2] = b"\x81\x00"
            with contextlib.suppress(KeyError, TypeError):
                reader.received(2)
            for wrong in (-1, 2**70, "x", len(buffer) + 1):
                with contextlib.suppress(ValueError, OverflowError, TypeError):
                    reader.received(wrong)
            with contextlib.suppress(TypeError):
                reader.feed("text")
            reader.take_controls()
            repr((reader.close, reader.violation, reader.state, reader))
    for payload in ("ä" * 50, b"x" * 200, bytearray(70_000), memoryview(b"view")):
        native.encode_frame(0x81, payload, True)
        native.encode_frame(0x82, payload)
    for arguments in [(), (256, b""), (1, None), (1, "\ud800"), ("1", b""), (1, b"", 2, 3)]:
        with contextlib.suppress(TypeError, ValueError):
            native.encode_frame(*arguments)
    for options in ({}, {"masked": True, "max_size": -1}, {"masked": True, "max_size": "x"}, {"unknown": 1}):
        with contextlib.suppress(TypeError, ValueError):
            native.FrameReader(**options)


def test_nothing_is_left_in_memory() -> None:
    for _ in range(20):
        everything()
    tracemalloc.start()
    try:
        everything()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            everything()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One object of 24 bytes that each of the hundred rounds leaves would be more.
    assert after - before < 2400


def test_a_reader_is_freed_with_what_it_has_not_parsed_and_not_given_away() -> None:
    def half_read() -> None:
        reader = native.FrameReader(masked=False, inflate=plain)
        reader.feed(
            b"\x89\x00" * 600 + b"\x01\x7e\x10\x00" + b"x" * 4096 + b"\x00\x7f\x00\x00\x00\x00\x00\x01\x00\x00yy"
        )
        reader.more()
        reader.get_buffer()

    half_read()
    tracemalloc.start()
    try:
        half_read()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(50):
            half_read()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4096
