"""Numbered messages of a member process: the streams that it reads, and what it sends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

import onesocket
from onesocket import Gap, Pace, Raw
from onesocket.client._gap import GapReason
from onesocket.errors import OnesocketError
from tests.campaigns.harness.ledger import CANCELLED, SENT
from tests.campaigns.harness.orders import write_event

RESEND_EVERY: Final = 3
"""Members send every third message with ``resend=True``."""
_IN_FLIGHT: Final = 500


class NumberedTopics(Raw):
    """Numbered messages to all, and subscriptions to topics, a frame for each, at the server's paces."""

    def __init__(self, messages: int, control: int, per: float) -> None:
        super().__init__(pace=Pace(messages, per=per), control_pace=Pace(control, per=per))

    def subscribe_frames(self, keys: frozenset[str]) -> list[str]:
        """One frame for each."""
        return [json.dumps({"subscribe": [key]}) for key in sorted(keys)]

    def unsubscribe_frames(self, keys: frozenset[str]) -> list[str]:
        """One frame for each."""
        return [json.dumps({"unsubscribe": [key]}) for key in sorted(keys)]

    def key_of(self, message: str) -> str:
        """None of the numbered messages belongs to a topic."""
        return message.partition(" ")[2].strip(".")


class NumberedReader:
    """The numbers that the server sends: each is the one after the last, unless a gap marker stands between."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.last = 0
        self.received = 0
        self.gaps = 0
        self.missed = 0
        self.firsts: list[int] = []
        """The first number after each change of connections."""
        self._after_gap = True
        self._after_change = False
        self._wanted: list[tuple[int, int, asyncio.Future[dict[str, Any]]]] = []

    @property
    def source(self) -> int:
        """Number of the connection, which only grows."""
        return self.epoch

    async def until(self, number: int, source: int) -> dict[str, Any]:
        """The first message after `number`, on a connection after `source`."""
        found: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._wanted.append((number, source, found))
        self._answer()
        return await found

    async def read(self, stream: Any) -> None:
        """Until the client is closed."""
        async for item in stream:
            self.take(item)

    def take(self, item: Any) -> None:
        """One item of the stream."""
        if isinstance(item, Gap):
            self._gap(item)
        else:
            self._message(int(str(item).split(" ", 1)[0]))
            if self._wanted:
                self._answer()

    def _gap(self, gap: Gap) -> None:
        self.gaps += 1
        self._after_gap = True
        if gap.reason is GapReason.OVERFLOW:
            self.missed += gap.missed or 0
        else:
            self._after_change = True
        if gap.epoch < self.epoch:
            write_event("wrong", text=f"a gap of epoch {gap.epoch} after one of {self.epoch}")
        self.epoch = gap.epoch

    def _message(self, number: int) -> None:
        if number != self.last + 1 and not (self._after_gap and number > self.last):
            write_event(
                "wrong", text=f"{number} came after {self.last}, and no gap marker between them (epoch {self.epoch})"
            )
        if self._after_change:
            self.firsts.append(number)
        self._after_gap = self._after_change = False
        self.last = number
        self.received += 1

    def _answer(self) -> None:
        now = time.monotonic()
        for wanted in tuple(self._wanted):
            number, source, found = wanted
            if self.last > number and self.source > source:
                self._wanted.remove(wanted)
                found.set_result({"at": now, "number": self.last, "epoch": self.epoch})


class NumberedSender:
    """Numbered messages, every third of them with `resend=True`, and the fate of each."""

    def __init__(self, client: onesocket.SharedClient, name: str, padding: str = "") -> None:
        self.accepted = 0
        self._client = client
        self._name = name
        self._padding = padding
        self._tasks: set[asyncio.Task[None]] = set()
        self._steady: asyncio.Task[None] | None = None

    def start(self, every: float) -> None:
        """One message each `every` seconds."""
        self._steady = asyncio.create_task(self._run(every))

    async def stop(self) -> None:
        """No more."""
        if self._steady is not None:
            self._steady.cancel()
            await asyncio.wait([self._steady])
            self._steady = None

    async def settle(self, timeout: float) -> int:
        """Stop, and wait until the fate of every message is known; returns how many were accepted."""
        await self.stop()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=timeout)
            for task in left:
                write_event("wrong", text=f"no word of {task.get_name()} for {timeout:g} s")
        return self.accepted

    async def _run(self, every: float) -> None:
        due = time.monotonic()
        while True:
            if len(self._tasks) < _IN_FLIGHT:
                self._send()
            due = max(due + every, time.monotonic() - 0.1)  # who was stopped doesn't make up for all of it
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _send(self) -> asyncio.Task[None]:
        self.accepted += 1
        number = self.accepted
        text = f"{self._name} {number}{self._padding}"
        task = asyncio.create_task(self._one(text, number), name=f"{self._name} {number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def give_up(self, after: list[float]) -> None:
        """Send a message for each of these times at once, and cancel it after so many seconds."""
        loop = asyncio.get_running_loop()
        for seconds in after:
            loop.call_later(seconds, self._send().cancel)
        await asyncio.sleep(max(after))

    def burst(self, count: int) -> None:
        """Send `count` messages at once."""
        for _ in range(count):
            self._send()

    async def _one(self, text: str, number: int) -> None:
        fate = SENT
        try:
            await self._client.send(text, resend=number % RESEND_EVERY == 0)
        except OnesocketError as error:
            fate = type(error).__name__
        except asyncio.CancelledError:
            fate = CANCELLED
        write_event("fate", sender=self._name, number=number, fate=fate)


class BlockingMember:
    """A client for threads: one of them reads, and one sends and gives up at random moments."""

    def __init__(self, client: Any, name: str, take: Callable[[Any], object]) -> None:
        self.accepted = 0
        self._client = client
        self._name = name
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._sending: threading.Thread | None = None
        self._reading.start()

    def start(self, every: float) -> None:
        """Send one message each `every` seconds, unless the last one takes longer."""
        self._sending = threading.Thread(target=self._send, args=(every,), daemon=True)
        self._sending.start()

    async def settle(self, timeout: float) -> int:
        """Stop sending, and wait until the fate of every message is known; returns how many were accepted."""
        self._stopped.set()
        if self._sending is not None:
            await asyncio.to_thread(self._sending.join, timeout)
            if self._sending.is_alive():
                write_event("wrong", text=f"a blocking send() of {self._name} didn't return for {timeout:g} s")
        return self.accepted

    async def leave(self) -> int:
        """Close the client in the midst of a send(); returns how many messages were accepted."""
        await asyncio.to_thread(self._client.close)
        accepted = await self.settle(5.0)
        await asyncio.to_thread(self._reading.join, 5.0)
        return accepted

    def _read(self) -> None:
        try:
            for item in self._client:
                _hand_over(self._loop, self._take, item)
        except OnesocketError as error:
            write_event("wrong", text=f"the stream of {self._name}: {type(error).__name__}: {error}")

    def _send(self, every: float) -> None:
        chance = random.Random(self._name)
        while not self._stopped.wait(every):
            self.accepted += 1
            fate = SENT
            try:
                self._client.send(
                    f"{self._name} {self.accepted}",
                    resend=self.accepted % RESEND_EVERY == 0,
                    timeout=10 ** chance.uniform(-4, 0.5),
                )
            except OnesocketError as error:
                fate = type(error).__name__
            write_event("fate", sender=self._name, number=self.accepted, fate=fate)
            if fate == "ClientClosed":
                break


class MemberThread(threading.Thread):
    """A shared client on the event loop of a thread of its own."""

    def __init__(self, joining: Callable[[], Any], take: Callable[[Any], object]) -> None:
        super().__init__(daemon=True)
        self._joining = joining
        self._take = take
        self._main_loop = asyncio.get_running_loop()
        self._joined: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    def run(self) -> None:
        """Read until the client is closed."""
        try:
            asyncio.run(self._run())
        except OnesocketError as error:
            if not self._joined.done():
                self._joined.set_exception(error)
            else:
                write_event("wrong", text=f"a stream in a thread: {type(error).__name__}: {error}")

    async def joined(self) -> int:
        """Wait until it has joined; returns the epoch."""
        return await asyncio.wrap_future(self._joined)

    async def close(self) -> None:
        """Close the client, on its loop."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
        await asyncio.to_thread(self.join, 10.0)
        if self.is_alive():
            write_event("wrong", text="a shared client in a thread didn't close within 10 s")

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        client = await self._joining()
        self._joined.set_result(client.status.epoch)
        reading = asyncio.create_task(self._read(client.subscribe(limit=2**20)))
        await self._stopped.wait()
        await client.aclose()
        await reading

    async def _read(self, stream: Any) -> None:
        async for item in stream:
            _hand_over(self._main_loop, self._take, item)


def _hand_over(loop: asyncio.AbstractEventLoop, take: Callable[[Any], object], item: Any) -> None:
    with contextlib.suppress(RuntimeError):  # Ctrl-C has ended the loop: nobody counts any more
        loop.call_soon_threadsafe(take, item)
