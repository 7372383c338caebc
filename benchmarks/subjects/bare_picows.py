"""picows' core API as its own documents use it: the floor that `Client` is held against."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import picows
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from .base import Countdown, Subject


class _CountingListener(WSListener):
    """Decodes every text, counts it, and heeds back-pressure."""

    def __init__(self) -> None:
        self.countdown: Any = None
        self.answer: str | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Count one whole text message."""
        frame.get_payload_as_utf8_text()
        countdown = self.countdown
        countdown.left -= 1
        if not countdown.left:
            countdown.finish()
        elif self.answer is not None:
            transport.send(WSMsgType.TEXT, self.answer)

    def pause_writing(self) -> None:
        """The buffer is full."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Note that writing may go on."""
        self.writable.set()


class BarePicows(Subject):
    """A listener, and nothing around it."""

    distribution = "picows"

    @classmethod
    def check(cls) -> None:
        """Onesocket needs it itself."""

    async def open(self) -> None:
        """Connect."""
        make: Callable[[], WSListener] = _CountingListener
        self.transport, listener = await picows.ws_connect(make, self.url)
        assert isinstance(listener, _CountingListener)  # noqa: S101 - the one just made
        self.listener = listener

    async def close(self) -> None:
        """CLOSE, and wait."""
        self.transport.send_close(1000)  # type: ignore[arg-type] # its stub wants the enum
        self.transport.disconnect()
        await self.transport.wait_disconnected()

    async def receive(self, count: int, size: int) -> None:
        """Count in the listener."""
        self.listener.countdown = Countdown(count)
        self.transport.send(WSMsgType.TEXT, f"receive {count} {size}")
        await self.listener.countdown.done

    async def send(self, count: int, payload: str) -> None:
        """Write, and wait while the buffer is full."""
        self.listener.countdown = Countdown(1)
        self.transport.send(WSMsgType.TEXT, f"send {count}")
        send, writable = self.transport.send, self.listener.writable
        for _ in range(count):
            send(WSMsgType.TEXT, payload)
            if not writable.is_set():
                await writable.wait()
        await self.listener.countdown.done

    async def echo(self, count: int, payload: str) -> None:
        """The next one from within the listener."""
        self.listener.countdown = Countdown(count)
        self.listener.answer = payload
        self.transport.send(WSMsgType.TEXT, f"echo {count}")
        self.transport.send(WSMsgType.TEXT, payload)
        await self.listener.countdown.done
        self.listener.answer = None
