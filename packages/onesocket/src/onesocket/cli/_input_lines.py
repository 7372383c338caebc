"""Lines from a terminal, a pipe or a file, read without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator

from ._readiness import wait_ready

_CHUNK_BYTES = 64 << 10
# The longest line in bytes, which is the size limit of most servers.
MAX_LINE_BYTES = 16 << 20


class LineTooLong(ValueError):
    """A line of more than `MAX_LINE_BYTES` bytes."""


async def input_lines(fd: int) -> AsyncIterator[bytes]:
    """Yield every line, without its end; the last one may lack its end.

    Reads only when the next line is requested, so that a slow consumer slows the writer of the pipe down.
    The descriptor stays in blocking mode: it may be shared with other processes, and with stdout. Raises `LineTooLong`.
    """
    rest = bytearray()
    while chunk := await _read(fd):
        rest += chunk
        if b"\n" in chunk:
            *whole, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in whole:
                yield line.removesuffix(b"\r")
        if len(rest) > MAX_LINE_BYTES:
            raise LineTooLong(f"a line of more than {MAX_LINE_BYTES} bytes")
    if rest:
        yield bytes(rest)


async def _read(fd: int) -> bytes:
    """Return the available bytes, at least one; none at the end."""
    loop = asyncio.get_running_loop()
    try:
        await wait_ready(fd, loop.add_reader, loop.remove_reader)
    except NotImplementedError:
        return await _read_in_thread(fd)
    except (OSError, ValueError):
        return b""  # closed: there is no stdin
    try:
        return os.read(fd, _CHUNK_BYTES)
    except OSError:
        return b""  # the terminal hung up


async def _read_in_thread(fd: int) -> bytes:
    """Read on event loops without add_reader (Windows), in a daemon thread, which doesn't delay the exit."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def settle(data: bytes) -> None:
        if not answer.done():
            answer.set_result(data)

    def read() -> None:
        try:
            data = os.read(fd, _CHUNK_BYTES)
        except OSError:
            data = b""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(settle, data)

    threading.Thread(target=read, name="onesocket stdin", daemon=True).start()
    return await answer
