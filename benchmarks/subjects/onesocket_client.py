"""onesocket through its `Client`: with a callback, with an iterator, and without its C module."""

from __future__ import annotations

from typing import Any, ClassVar

from onesocket import Client

from .base import Countdown, Subject
from .frames import PYTHON_TWIN_CHOSEN, require_python_twin


class OnesocketSubject(Subject):
    """A client with the defaults, but for PINGs."""

    distribution = "onesocket"

    @classmethod
    def check(cls) -> None:
        """Do nothing: the library is always installed."""

    async def open(self) -> None:
        """Connect."""
        self.client = Client(self.url, ping_interval=None)
        await self.client.connect()

    async def close(self) -> None:
        """Close."""
        await self.client.aclose()


class OnesocketCallback(OnesocketSubject):
    """`client.on()` and `client.send_nowait()`."""

    reading: ClassVar[dict[str, Any]] = {}
    """Options of `on()` for bursts."""

    async def receive(self, count: int, size: int) -> None:
        """Count in a callback."""
        countdown = Countdown(count)

        def received(_message: object) -> None:
            countdown.left -= 1
            if not countdown.left:
                countdown.finish()

        self.client.on(None, received, **self.reading)
        self.client.send_nowait(f"receive {count} {size}")
        await countdown.done
        self.client.off(received)

    async def send(self, count: int, payload: str) -> None:
        """`send_nowait`, and its delivery where the kernel took less."""
        countdown = Countdown(1)
        finish = self.client.on(lambda _message: countdown.finish())
        self.client.send_nowait(f"send {count}")
        send = self.client.send_nowait
        for _ in range(count):
            delivery = send(payload)
            if not delivery.done:
                await delivery
        await countdown.done
        self.client.off(finish)

    async def echo(self, count: int, payload: str) -> None:
        """The next one from within the callback."""
        countdown = Countdown(count)
        send = self.client.send_nowait

        def received(_message: object) -> None:
            countdown.left -= 1
            if countdown.left:
                send(payload)
            else:
                countdown.finish()

        self.client.on(received)
        send(f"echo {count}")
        send(payload)
        await countdown.done
        self.client.off(received)


class OnesocketPythonTwin(OnesocketCallback):
    """The same with frames parsed and written in Python, as where no C module is installed."""

    environment = PYTHON_TWIN_CHOSEN

    async def open(self) -> None:
        """Connect. Raises RuntimeError in a process that uses the C module."""
        require_python_twin()
        await super().open()


class OnesocketIterator(OnesocketSubject):
    """`async for` over `client.subscribe()`, and `await client.send()`."""

    async def open(self) -> None:
        """Connect, and subscribe."""
        await super().open()
        self.messages: Any = self.client.subscribe()

    async def receive(self, count: int, size: int) -> None:
        """Count in `async for`."""
        await self.client.send(f"receive {count} {size}")
        left = count
        async for _message in self.messages:
            left -= 1
            if not left:
                return

    async def send(self, count: int, payload: str) -> None:
        """`await send`."""
        await self.client.send(f"send {count}")
        send = self.client.send
        for _ in range(count):
            await send(payload)
        await anext(self.messages)

    async def echo(self, count: int, payload: str) -> None:
        """`await send`, then the next message."""
        await self.client.send(f"echo {count}")
        send, messages = self.client.send, self.messages
        for _ in range(count):
            await send(payload)
            await anext(messages)
