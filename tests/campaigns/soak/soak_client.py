"""One client of the soak: sends, receives, reconnects at random, and records the fate of each message."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from typing import Any, Final

from onesocket import Client, OnesocketError, Outcome, ReconnectPolicy, State
from onesocket.client._delivery import Delivery
from onesocket.errors import (
    ClientClosed,
    DeliveryUnknown,
    ManuallyDisconnected,
    MessageExpired,
    OutboxFull,
    WaitTimeout,
)
from onesocket.lifecycle._outbox import OutboxLimits
from tests.campaigns.harness.ledger import SENT, SenderRecord

OUTBOX: Final = OutboxLimits(messages=60, age=3.0)
POLICY: Final = ReconnectPolicy(initial=0.1, cap=2.0, stable_after=1.0, busy_delay=0.5)
GIVES_UP: Final = ReconnectPolicy(initial=0.1, cap=2.0, stable_after=1.0, busy_delay=0.5, max_attempts=3)
INTERRUPTION_SECONDS: Final = 60.0
"""How often, on average, a client calls `reconnect()`, or `disconnect()` and `reconnect()`."""
FLOOD: Final = 80
_LARGE_MESSAGE: Final = "x" * (128 << 10)
_FATES: Final = (DeliveryUnknown, MessageExpired, OutboxFull, ManuallyDisconnected, ClientClosed)
"""The errors that `send()` may raise here."""


class SoakClient:
    """A client that sends numbered messages in both ways, and is kept connected."""

    def __init__(self, number: int, url: str, *, seed: int, rate: float, capacity: int, busy: asyncio.Event) -> None:
        self.number = number
        self.record = SenderRecord(capacity)
        self.echoes = 0
        self.wrong: list[str] = []
        self.failures: Counter[str] = Counter()
        """Errors of connect() and reconnect(), by name."""
        self.unwatched = 0
        """Failed deliveries without a waiter, as counted here."""
        self.reported = 0
        """Failed deliveries that `on_error` reported."""
        self.client = Client(
            f"{url}client/{number}",
            reconnect=GIVES_UP if number % 2 else POLICY,
            outbox=OUTBOX,
            open_timeout=2.0,
            close_timeout=1.0,
            ping_interval=2.0,
            ping_timeout=4.0,
            on_error=self._on_error,
        )
        self.client.on(self._received, gaps=False)
        self._random = random.Random(seed * 100_003 + number)
        self._pause = 2.0 / rate  # there are two senders
        self._busy = busy
        self._last_echo = 0
        self._pending: deque[tuple[int, Delivery]] = deque()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_settled(self) -> bool:
        """True if the client is connected, and the kernel has every message that it sent."""
        self._sweep()
        return self.client.state is State.CONNECTED and not self._pending and self.client.status.outbox == 0

    def start(self) -> None:
        """Start its tasks."""
        self._tasks = [asyncio.create_task(work) for work in (self._keep(), self._post(), self._send())]

    async def stop(self) -> None:
        """End its tasks, and close the client."""
        for task in self._tasks:
            task.cancel()
        for end in await asyncio.gather(*self._tasks, return_exceptions=True):
            if not isinstance(end, asyncio.CancelledError):
                self._complain(f"a task of it ended with {end!r}")
        self._tasks.clear()
        await self.client.aclose()
        self._sweep()

    def flood(self) -> None:
        """Send more than the buffers of an unread socket can take."""
        for _ in range(FLOOD):
            self._post_one(_LARGE_MESSAGE)

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _post(self) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1 / self._pause))
            await self._busy.wait()
            for _ in range(20 if self._random.random() < 0.02 else 1):
                self._post_one(_LARGE_MESSAGE[: self._size()])
            self._sweep()

    async def _send(self) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1 / self._pause))
            await self._busy.wait()
            if self.record.is_full:
                continue
            number = self.record.new()
            try:
                await self.client.send(self._message(number, _LARGE_MESSAGE[: self._size()]))
            except OnesocketError as error:
                self._settle(number, error)
            else:
                self._settle(number, None)

    def _post_one(self, padding: str) -> None:
        if self.record.is_full:
            return
        number = self.record.new()
        try:
            delivery = self.client.send_nowait(self._message(number, padding))
        except OnesocketError as error:
            self._settle(number, error)
            return
        self._pending.append((number, delivery))

    def _size(self) -> int:
        return 32 << 10 if self._random.random() < 0.01 else self._random.randint(0, 512)

    def _message(self, number: int, padding: str) -> str | bytes:
        text = f"{number}:{padding}"
        return text if number % 2 else text.encode()

    def _sweep(self) -> None:
        """Record the fates of the posted messages that have one."""
        for _ in range(len(self._pending)):
            number, delivery = self._pending.popleft()
            if not delivery.done:
                self._pending.append((number, delivery))
                continue
            self.unwatched += delivery.error is not None
            self._settle(number, delivery.error)

    def _settle(self, number: int, error: OnesocketError | None) -> None:
        if error is None or isinstance(error, _FATES):
            self.record.settle(number, SENT if error is None else type(error).__name__)
        else:
            self._complain(f"send() of {number} raised {error!r}")

    # --- receiving --------------------------------------------------------------------------------------------------

    def _received(self, message: Any) -> None:
        head = message[:12].decode() if isinstance(message, bytes) else message[:12]
        number = int(head.partition(":")[0])
        if not self._last_echo < number <= self.record.used:
            self._complain(f"the echo of {number} came after that of {self._last_echo}, of {self.record.used} sent")
        self._last_echo = number
        self.echoes += 1

    # --- the connection -----------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        await self._connect()
        while True:
            pause = self._random.expovariate(1 / INTERRUPTION_SECONDS)
            try:
                await self.client.wait_for(State.FAILED, timeout=pause)
            except WaitTimeout:
                if self._busy.is_set():
                    await self._interrupt()
                continue
            await asyncio.sleep(self._random.uniform(0.05, 0.3))
            await self._connect()

    async def _connect(self) -> None:
        """Connect with three callers at once: one attempt."""
        for end in await asyncio.gather(*(self.client.connect() for _ in range(3)), return_exceptions=True):
            if isinstance(end, OnesocketError):
                self.failures[type(end).__name__] += 1
            elif not isinstance(end, Outcome):
                self._complain(f"connect() ended with {end!r}")

    async def _interrupt(self) -> None:
        if self._random.random() < 0.5:
            await self.client.disconnect()
            await asyncio.sleep(self._random.uniform(0.0, 0.5))
        try:
            await self.client.reconnect()
        except OnesocketError as error:
            self.failures[type(error).__name__] += 1

    def _on_error(self, error: BaseException) -> None:
        if isinstance(error, DeliveryUnknown | MessageExpired | ManuallyDisconnected | ClientClosed):
            self.reported += 1
        else:
            self._complain(f"on_error got {error!r}")

    def _complain(self, text: str) -> None:
        self.wrong.append(f"client {self.number}: {text}")
