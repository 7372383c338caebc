"""One member process of the chaos campaign: joins as any program would, and obeys orders."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
import warnings
from typing import Any, Final

import onesocket
from onesocket import Gap, Pace, Raw
from onesocket.client._gap import GapReason
from onesocket.errors import OnesocketError
from onesocket.sharing.host import HostOptions
from onesocket.sharing.host import _join_credentials as join_credentials
from tests.campaigns.harness.orders import Order, serve_orders, setup, write_event
from tests.campaigns.harness.probe import open_descriptors

_IN_FLIGHT: Final = 500


class NumberedTopics(Raw):
    """Numbered messages to all, and subscriptions to topics, a frame for each, at the server's pace."""

    def __init__(self, messages: int, per: float) -> None:
        super().__init__(pace=Pace(messages, per=per))

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
        self._after_gap = True
        self._wanted: list[tuple[int, int, asyncio.Future[dict[str, Any]]]] = []

    async def until(self, number: int, epoch: int) -> dict[str, Any]:
        """The first message after `number`, on a connection after `epoch`."""
        found: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._wanted.append((number, epoch, found))
        self._answer()
        return await found

    async def read(self, stream: Any) -> None:
        """Until the client is closed."""
        async for item in stream:
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
        if gap.epoch < self.epoch:
            write_event("wrong", text=f"a gap of epoch {gap.epoch} after one of {self.epoch}")
        self.epoch = gap.epoch

    def _message(self, number: int) -> None:
        if number != self.last + 1 and not (self._after_gap and number > self.last):
            write_event(
                "wrong", text=f"{number} came after {self.last}, and no gap marker between them (epoch {self.epoch})"
            )
        self._after_gap = False
        self.last = number
        self.received += 1

    def _answer(self) -> None:
        now = time.monotonic()
        for wanted in tuple(self._wanted):
            number, epoch, found = wanted
            if self.last > number and self.epoch > epoch:
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

    def _send(self) -> None:
        self.accepted += 1
        number = self.accepted
        text = f"{self._name} {number}{self._padding}"
        task = asyncio.create_task(self._one(text, number, named=number % 3 == 0), name=f"{self._name} {number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def burst(self, count: int) -> None:
        """Send `count` messages at once."""
        for _ in range(count):
            self._send()

    async def _one(self, text: str, number: int, *, named: bool) -> None:
        try:
            await self._client.send(text, resend=named)
        except OnesocketError as error:
            write_event("fate", sender=self._name, number=number, fate=type(error).__name__)
        else:
            write_event("fate", sender=self._name, number=number, fate="sent")


class ChaosWorker:
    """The shared client of this process, its reader and its sender."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.has_left = False
        self.name: str = given["name"]
        self._url: str = given["url"]
        self._host = HostOptions(**given["host"])
        self._options: dict[str, Any] = dict(given.get("options", {}))
        if "topics" in given:
            self._options["protocol"] = NumberedTopics(*given["topics"])
        self._topics: dict[str, Any] = {}
        """The streams of the topics that this process is subscribed to."""
        self._client: onesocket.SharedClient | None = None
        self._reader: NumberedReader | None = None
        self._reading: asyncio.Task[None] | None = None
        self._sender: NumberedSender | None = None
        self._unread: Any = None
        self._blocking: Any = None

    def joining(self) -> Any:
        """As any program would."""
        return onesocket.join(self._url, scope="host", host_options=self._host, **self._options)

    @property
    def client(self) -> onesocket.SharedClient:
        """Ours."""
        if self._client is None:
            raise RuntimeError("not joined")
        return self._client

    async def join(self, order: dict[str, Any]) -> None:
        """Join, read, and send every so many seconds (0: nothing)."""
        client = self._client = await self.joining()
        self._reader = NumberedReader(client.status.epoch)
        self._reading = asyncio.create_task(self._reader.read(client.subscribe(limit=2**20)))
        self._sender = NumberedSender(client, self.name, order.get("padding", ""))
        if order["send_every"]:
            self._sender.start(order["send_every"])

    async def settle(self, order: dict[str, Any]) -> dict[str, Any]:
        """Wait until each message has its fate; returns the counts of this process."""
        accepted = 0 if self._sender is None else await self._sender.settle(order["timeout"])
        return {"accepted": accepted, **self._figures()}

    async def figures(self, _: dict[str, Any]) -> dict[str, Any]:
        """The messages received so far, and the open descriptors."""
        return self._figures()

    async def leave(self, _: dict[str, Any]) -> dict[str, Any]:
        """Leave while messages are being sent; each of them still gets its fate."""
        self.has_left = True
        if self._sender is not None:
            await self._sender.stop()
        await self.client.aclose()
        if self._reading is not None:
            await self._reading
        accepted = 0 if self._sender is None else await self._sender.settle(5.0)
        return {"accepted": accepted, **self._figures()}

    async def topics(self, order: dict[str, Any]) -> None:
        """Be subscribed to these topics from now on, and to no other."""
        for topic in self._topics.keys() - set(order["keys"]):
            self._topics.pop(topic).close()
        for topic in order["keys"]:
            if topic not in self._topics:
                self._topics[topic] = self.client.subscribe(keys=[topic], limit=4, overflow="drop_oldest")

    async def send_and_leave(self, order: dict[str, Any]) -> dict[str, int]:
        """Join so many times, send so many messages at once each time, and leave in the midst of it."""
        accepted: dict[str, int] = {}
        for number in range(order["times"]):
            name = f"{order['name']}.{number}"
            client = await self.joining()
            sender = NumberedSender(client, name)
            sender.burst(order["messages"])
            for _ in range(order["turns"][number]):
                await asyncio.sleep(0)
            await client.aclose()
            accepted[name] = await sender.settle(5.0)
        return accepted

    async def leave_unread(self, _: dict[str, Any]) -> None:
        """Have a stream that holds the feed back, and don't read it."""
        self._unread = self.client.subscribe(limit=4, overflow="wait")

    async def catch_up(self, _: dict[str, Any]) -> None:
        """Read what waits there, and go on without it."""
        self._unread.close()
        self._unread = None

    async def join_and_leave(self, order: dict[str, Any]) -> dict[str, Any]:
        """Join and leave so many times, one each `every` seconds; each time as the only client of this process."""
        started = time.monotonic()
        for number in range(order["times"]):
            await asyncio.sleep(max(0.0, started + number * order["every"] - time.monotonic()))
            async with self.joining() as client:
                if client.status.epoch != order["epoch"]:
                    write_event("wrong", text=f"joined epoch {client.status.epoch}, not {order['epoch']}")
        return {"seconds": time.monotonic() - started}

    async def join_from_threads(self, order: dict[str, Any]) -> dict[str, Any]:
        """So many threads with so many tasks each join at once; each receives one message and sends one."""
        threads = [_ThreadWithTasks(self, number, order["tasks"]) for number in range(order["threads"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join, order["timeout"])
        return {
            "joined": sum(thread.joined for thread in threads),
            "received": sum(thread.received for thread in threads),
            "failed": [text for thread in threads for text in thread.failed],
        }

    async def begin_blocking(self, _: dict[str, Any]) -> None:
        """A client for threads, which a forked child will use, too."""
        self._blocking = await asyncio.to_thread(
            lambda: onesocket.blocking.join(self._url, scope="host", host_options=self._host, **self._options)
        )

    async def fork(self, order: dict[str, Any]) -> dict[str, Any]:
        """A child in the midst of it all, with everything that we have; it goes on with the blocking client."""
        with warnings.catch_warnings():
            # CPython >= 3.12 warns of every fork beside a thread; the owner thread stands still for it.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _run_child(self._blocking, order["text"], order["timeout"])
                code = 0
            except BaseException as error:  # noqa: BLE001 - it must not get into the parent's event loop
                write_event("wrong", text=f"a forked child: {type(error).__name__}: {error}")
            finally:
                os._exit(code)
        return {"child": pid}

    def _figures(self) -> dict[str, Any]:
        reader = self._reader or NumberedReader(0)
        return {
            "received": reader.received,
            "last": reader.last,
            "gaps": reader.gaps,
            "missed": reader.missed,
            "epoch": reader.epoch,
            "descriptors": open_descriptors(),
        }

    async def until(self, order: dict[str, Any]) -> dict[str, Any]:
        """Wait for a message after this number, on a connection after this epoch."""
        if self._reader is None:
            raise RuntimeError("not joined")
        return await self._reader.until(order["number"], order["epoch"])

    async def perform(self, order: Order) -> Any:
        """Call the method that has the order's name."""
        return await getattr(self, order["do"])(order)


class _ThreadWithTasks(threading.Thread):
    """A thread with an event loop of its own, and tasks on it."""

    def __init__(self, worker: ChaosWorker, number: int, tasks: int) -> None:
        super().__init__(daemon=True)
        self.joined = 0
        self.received = 0
        self.failed: list[str] = []
        self._worker = worker
        self._number = number
        self._tasks = tasks

    def run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        await asyncio.gather(*(self._one(f"{self._worker.name} {self._number} {task}") for task in range(self._tasks)))

    async def _one(self, text: str) -> None:
        try:
            async with self._worker.joining() as client, asyncio.timeout(60):
                stream = client.subscribe()
                self.joined += 1
                await client.send(text)
                write_event("in", text=text)
                if await anext(stream) == "go home":
                    self.received += 1
        except (OnesocketError, TimeoutError) as error:
            self.failed.append(f"{text}: {type(error).__name__}: {error}")


def _run_child(client: Any, text: str, timeout: float) -> None:
    """Say that we are fed, and after the parent's end that we still are."""
    client.send(text, timeout=timeout)
    epoch, told = client.status.epoch, 0
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        item = client.receive(timeout=timeout)
        if isinstance(item, Gap):
            epoch = item.epoch
        elif epoch > told:
            write_event("child fed", pid=os.getpid(), text=text, epoch=epoch)
            if told:
                break
            told = epoch
    client.close()


async def main(given: dict[str, Any]) -> None:
    """Serve orders until stdin ends or this process has left."""
    logging.getLogger("onesocket").setLevel(logging.CRITICAL)  # typed errors tell what is wrong
    if "speaks" in given:  # as another release would
        join_credentials.PROTOCOL_VERSION = given["speaks"]  # type: ignore[attr-defined]
    worker = ChaosWorker(given)
    write_event("ready")
    await serve_orders(worker.perform, last="leave")
    if not worker.has_left:
        os._exit(0)  # the driver has ended


if __name__ == "__main__":
    asyncio.run(main(setup()))
