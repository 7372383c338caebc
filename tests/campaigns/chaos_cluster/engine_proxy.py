"""A proxy between a host and the engine: it delays what passes, or keeps it back like an unplugged cable."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

_READ_BYTES: Final = 1 << 16
_MOST: Final = 1000
"""Reads that may be under way in one direction."""


class EngineProxy:
    """Passes bytes on, in order. The connections stay while it is unplugged."""

    def __init__(self, host: str, engine_port: int) -> None:
        self.delay = 0.0
        """Seconds, each way."""
        self.port = 0
        self._host = host
        self._engine_port = engine_port
        self._plugged = asyncio.Event()
        self._plugged.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<EngineProxy {self.port} delay={self.delay:g} plugged={self._plugged.is_set()}>"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accepted, self._host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def set_plugged(self, *, plugged: bool) -> None:
        """Unplug it, or plug it in again: what was kept back passes then."""
        if plugged:
            self._plugged.set()
        else:
            self._plugged.clear()

    async def aclose(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._plugged.wait()
        engine_reader, engine_writer = await asyncio.open_connection(self._host, self._engine_port)
        ways = ((reader, engine_writer), (engine_reader, writer))
        passing = [asyncio.ensure_future(self._pass(*way)) for way in ways]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in passing:
                each.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
            engine_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one end closes, and what it said before has passed."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST)

        async def write() -> None:
            while True:
                due, data = await under_way.get()
                if (left := due - loop.time()) > 0:
                    await asyncio.sleep(left)
                await self._plugged.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()

        writing = asyncio.ensure_future(write())
        try:
            data = b"-"
            while data and not writing.done():
                data = b""
                with contextlib.suppress(OSError):  # a reset is an end, too
                    data = await reader.read(_READ_BYTES)
                await under_way.put((loop.time() + self.delay, data))
            await writing
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
