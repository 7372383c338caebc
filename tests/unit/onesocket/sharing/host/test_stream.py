"""One end of a Unix socket: whatever the reads look like, the frames come as they were told."""

import asyncio
import socket

import pytest

from onesocket.errors import IpcError
from onesocket.sharing.host._frame_stream import FrameStream
from onesocket.sharing.host._ipc_frames import FrameSplitter, MessageBatch, decode_owner_frame, encode_ipc_frame

LENGTHS = [0, 1, 200, 2**14 - 11, 2**14 - 10, 2**14 - 9, 2**14, 300_000, 5, 70_000, 3]


class RecordingStream(FrameStream):
    """Keeps the frames that come."""

    def __init__(self, wanted: int, room: int | None = None) -> None:
        super().__init__() if room is None else super().__init__(room)
        self.came: list[bytes | bytearray] = []
        self.wanted = wanted
        self.has_all = asyncio.Event()
        self.is_closed = asyncio.Event()
        self.error: IpcError | None = None

    def on_frame(self, body: bytes | bytearray) -> None:
        self.came.append(body)
        if len(self.came) == self.wanted:
            self.has_all.set()

    def on_end(self, error: IpcError | None) -> None:
        self.error = error

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_closed.set()


async def connected(one: FrameStream, other: FrameStream) -> None:
    loop = asyncio.get_running_loop()
    for end, sock in zip((one, other), socket.socketpair(), strict=True):
        sock.setblocking(False)
        await loop.create_unix_connection(lambda end=end: end, sock=sock)  # type: ignore[misc]


@pytest.mark.parametrize("room", [None, 1, 7, 2**18])
async def test_frames_are_whole_and_in_order_whatever_fits_into_a_read(room: int | None) -> None:
    lengths = [length for length in LENGTHS if room is None or length < 20_000 * room]
    messages = [chr(ord("a") + number) * length for number, length in enumerate(lengths)]
    here, there = RecordingStream(len(messages), room), RecordingStream(len(messages), room)
    await connected(here, there)
    for message in messages:
        here.send_frame(MessageBatch([message]))
        there.write_now(encode_ipc_frame(MessageBatch([message])))
    async with asyncio.timeout(20):
        await here.has_all.wait()
        await there.has_all.wait()
    for end in (here, there):
        assert [decode_owner_frame(body) for body in end.came] == [MessageBatch([message]) for message in messages]
    here.close()
    there.close()
    async with asyncio.timeout(20):
        await here.is_closed.wait()
        await there.is_closed.wait()


async def test_nonsense_ends_it_and_nothing_after_it_counts() -> None:
    here, there = RecordingStream(0), RecordingStream(1)
    await connected(here, there)
    here.write_now(encode_ipc_frame(MessageBatch(["a"])) + b"\xff\xff\xff\xff" + encode_ipc_frame(MessageBatch(["b"])))
    async with asyncio.timeout(20):
        await there.is_closed.wait()
        await here.is_closed.wait()
    assert there.error is not None
    assert there.is_over
    assert here.is_over


def test_what_was_cut_out_of_a_buffer_stays_when_the_buffer_is_used_again() -> None:
    splitter = FrameSplitter()
    room = bytearray(b"\0\0\0\x02ab")
    whole = splitter.feed(memoryview(room))
    room[:] = b"\0\0\0\x03cd"
    assert splitter.feed(memoryview(room)) == []
    room[:] = b"e\0\0\0\0x"
    assert splitter.feed(memoryview(room)[:5]) == [b"cde", b""]
    assert whole == [b"ab"]


async def test_an_end_that_was_read_in_time_is_not_cut_off_later(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    here, there = RecordingStream(1), RecordingStream(1)
    await connected(here, there)
    there.set_reading(on=False)
    here.write_now(encode_ipc_frame(MessageBatch(["x" * 4_000_000])))
    here.close()
    there.set_reading(on=True)
    async with asyncio.timeout(20):
        await there.has_all.wait()
        await here.is_closed.wait()
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["message"]))
    later = loop.time() + 10.0
    monkeypatch.setattr(loop, "time", lambda: later)
    for _ in range(3):
        await asyncio.sleep(0)
    monkeypatch.undo()
    loop.set_exception_handler(None)
    assert failures == []


async def test_nothing_more_is_written_once_the_other_end_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    here, there = RecordingStream(1), RecordingStream(1)
    await connected(here, there)
    there.abort()
    await there.is_closed.wait()
    for _ in range(10):
        here.write_now(encode_ipc_frame(MessageBatch(["x"])))
    assert not here.is_writable
    assert caplog.records == []
    await here.is_closed.wait()


async def test_it_ends_where_there_is_no_memory_for_a_frame() -> None:
    here, there = RecordingStream(0), RecordingStream(1)
    await connected(here, there)
    here.write_now(encode_ipc_frame(MessageBatch(["a"])))
    await there.has_all.wait()

    class NoMemory(bytes):
        def __len__(self) -> int:
            raise MemoryError

    here.write_now(NoMemory())
    assert here.is_over
    async with asyncio.timeout(20):
        await here.is_closed.wait()
        await there.is_closed.wait()
