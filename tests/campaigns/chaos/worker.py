"""One member process of the chaos campaign: joins as any program would, and obeys orders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, Final

import onesocket
from onesocket import Gap
from onesocket.errors import OnesocketError
from onesocket.lifecycle import OutboxLimits
from onesocket.sharing import _main_loop as main_loop
from onesocket.sharing.host import HostOptions
from onesocket.sharing.host import _join_credentials as join_credentials
from tests.campaigns.harness.orders import Order, run_worker, serve_orders, setup, write_event
from tests.campaigns.harness.probe import open_descriptors

from .numbered import BlockingMember, MemberThread, NumberedReader, NumberedSender, NumberedTopics

_SLEEP: Final = "import time; time.sleep(60)"
_THREADS: Final = 2
"""Threads with an event loop each, in a member of the kind "threads"."""


class ChaosWorker:
    """The shared client of this process, its reader and its sender."""

    reader_type = NumberedReader

    def __init__(self, given: dict[str, Any]) -> None:
        self.has_left = False
        self.ends_by: str | None = None
        """The way in which the event loop ends with the client open; None: as ever."""
        self.pausing: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """Done with the seconds for which the event loop is to stand still."""
        self.name: str = given["name"]
        self._url: str = given["url"]
        self._host = HostOptions(**given["host"])
        self._options: dict[str, Any] = dict(given.get("options", {}))
        if "topics" in given:
            self._options["protocol"] = NumberedTopics(*given["topics"])
        if "outbox" in given:
            self._options["outbox"] = OutboxLimits(*given["outbox"])
        wait = given.get("overflow") == "wait"
        self._bounds: dict[str, Any] = {"limit": 4, "overflow": "wait"} if wait else {"limit": 2**20}
        self._kind: str = given.get("kind", "asyncio")
        self._topics: dict[str, Any] = {}
        """The streams of the topics that this process is subscribed to."""
        self._client: onesocket.SharedClient | None = None
        self._readers: list[NumberedReader] = []
        self._reading: asyncio.Task[None] | None = None
        self._sender: NumberedSender | BlockingMember | None = None
        self._threads: list[MemberThread] = []
        self._descriptors: list[int] = []
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
        if self._kind == "blocking":
            await self.begin_blocking(order)
            reader = self._new_reader(self._blocking.status.epoch)
            self._sender = BlockingMember(self._blocking, self.name, reader.take)
        else:
            client = self._client = await self.joining()
            reader = self._new_reader(client.status.epoch)
            self._reading = asyncio.create_task(reader.read(client.subscribe(**self._bounds)))
            self._sender = NumberedSender(client, self.name, order.get("padding", ""))
        for _ in range(_THREADS if self._kind == "threads" else 0):
            await self._join_thread()
        if order["send_every"]:
            self._sender.start(order["send_every"])

    def _new_reader(self, epoch: int) -> NumberedReader:
        reader = self.reader_type(epoch)
        self._readers.append(reader)
        return reader

    async def _join_thread(self) -> None:
        reader = self._new_reader(0)
        thread = MemberThread(self.joining, reader.take)
        thread.start()
        self._threads.append(thread)
        reader.epoch = max(reader.epoch, await thread.joined())

    async def settle(self, order: dict[str, Any]) -> dict[str, Any]:
        """Wait until each message has its fate; returns the counts of this process."""
        accepted = 0 if self._sender is None else await self._sender.settle(order["timeout"])
        return {"accepted": accepted, **self._figures()}

    async def figures(self, _: dict[str, Any]) -> dict[str, Any]:
        """The messages received so far, and the open descriptors."""
        return self._figures()

    async def leave(self, order: dict[str, Any]) -> dict[str, Any]:
        """Leave while messages are being sent; each of them still gets its fate.

        `by`: "end" and "close" leave the client open, for the end of the event loop, and for that without a word.
        """
        self.has_left = True
        self.ends_by = order.get("by")
        if self.ends_by is not None and isinstance(self._sender, NumberedSender):
            await self._sender.stop()
            return {"accepted": await self._sender.settle(5.0), **self._figures()}
        if isinstance(self._sender, BlockingMember):
            return {"accepted": await self._sender.leave(), **self._figures()}
        if self._sender is not None:
            await self._sender.stop()
        for thread in self._threads:
            await thread.close()
        await self.client.aclose()
        if self._reading is not None:
            await self._reading
        accepted = 0 if self._sender is None else await self._sender.settle(5.0)
        return {"accepted": accepted, **self._figures()}

    async def block(self, order: dict[str, Any]) -> None:
        """Block the event loop, as a program that computes."""
        time.sleep(order["seconds"])  # noqa: ASYNC251 - on purpose

    async def pause(self, order: dict[str, Any]) -> None:
        """Let the event loop stand still, as between two cells of a notebook."""
        if not self.pausing.done():
            self.pausing.set_result(order["seconds"])
        await asyncio.sleep(0)

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

    async def exhaust(self, _: dict[str, Any]) -> None:
        """Use up the descriptors, until `release`."""
        limit = max(int(name) for name in os.listdir("/dev/fd")) + 32  # noqa: PTH208
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        found = -1
        while found < len(self._descriptors):  # the sockets of processes that have just left are closed meanwhile
            found = len(self._descriptors)
            await asyncio.sleep(0.05)
            with contextlib.suppress(OSError):
                while True:
                    self._descriptors.append(os.open(os.devnull, os.O_RDONLY))

    async def release(self, _: dict[str, Any]) -> None:
        """Have descriptors again."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    async def call_exec(self, _: dict[str, Any]) -> None:
        """Become another program, without a close of anything."""
        os.execv(sys.executable, [sys.executable, "-c", _SLEEP])  # noqa: S606 - no shell: it keeps the process number

    async def burst(self, order: dict[str, Any]) -> None:
        """Send so many messages at once."""
        if isinstance(self._sender, NumberedSender):
            self._sender.burst(order["messages"])

    async def give_up(self, order: dict[str, Any]) -> dict[str, int]:
        """Join, send messages at once, and cancel each after so many seconds; then leave."""
        client = await self.joining()
        sender = NumberedSender(client, order["name"])
        await sender.give_up(order["after"])
        await client.aclose()
        return {order["name"]: await sender.settle(5.0)}

    async def disconnect(self, _: dict[str, Any]) -> None:
        """Disconnect for all, and connect again."""
        await self.client.disconnect()
        await asyncio.sleep(0.05)
        await self.client.reconnect()

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
            lambda: onesocket.blocking.join(
                self._url, scope="host", host_options=self._host, limit=2**20, **self._options
            )
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
        reader = self._readers[0] if self._readers else NumberedReader(0)
        return {
            "received": reader.received,
            "last": reader.last,
            "gaps": reader.gaps,
            "missed": reader.missed,
            "epoch": reader.epoch,
            "firsts": reader.firsts,
            "descriptors": open_descriptors(),
        }

    async def until(self, order: dict[str, Any]) -> dict[str, Any]:
        """Wait until every reader has a message after this number, on a connection after this epoch."""
        if not self._readers:
            raise RuntimeError("not joined")
        answers = await asyncio.gather(*(reader.until(order["number"], order["epoch"]) for reader in self._readers))
        return max(answers, key=lambda answer: float(answer["at"]))

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


def _loop_factory(kind: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if kind != "uvloop":
        return None
    import uvloop  # noqa: PLC0415 - not there for every Python

    return uvloop.new_event_loop


async def serve(worker: ChaosWorker) -> None:
    """Serve orders until stdin ends or this process has left."""
    logging.getLogger("onesocket").setLevel(logging.CRITICAL)  # typed errors tell what is wrong
    write_event("ready")
    await serve_orders(worker.perform, last="leave")
    if not worker.has_left:
        os._exit(0)  # the driver has ended


async def make_worker(given: dict[str, Any]) -> ChaosWorker:
    """A member among those of one host."""
    if "speaks" in given:  # as another release would
        join_credentials.PROTOCOL_VERSION = given["speaks"]  # type: ignore[attr-defined]
    if "blocked_after" in given:
        main_loop.BLOCKED_AFTER = given["blocked_after"]  # type: ignore[misc]
    return ChaosWorker(given)


async def until_pause(worker: ChaosWorker, serving: asyncio.Task[None]) -> float | None:
    """Run until the loop is to stand still; returns for how many seconds. None: it has served."""
    ends: set[asyncio.Future[Any]] = {serving, worker.pausing}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
        return None
    seconds, worker.pausing = worker.pausing.result(), asyncio.get_running_loop().create_future()
    return seconds


def run(given: dict[str, Any]) -> None:
    """Run one member to its end."""
    with asyncio.Runner(loop_factory=_loop_factory(given.get("kind", "asyncio"))) as runner:
        worker = runner.run(make_worker(given))
        serving = runner.get_loop().create_task(serve(worker))
        while (seconds := runner.run(until_pause(worker, serving))) is not None:
            time.sleep(seconds)
        if worker.ends_by == "close":
            runner.get_loop().close()
            os.set_blocking(0, True)
            os.read(0, 1)  # until the driver has seen enough
            os._exit(0)


if __name__ == "__main__":
    run_worker(lambda: run(setup()))  # after Ctrl-C the library closes the client when the interpreter exits
