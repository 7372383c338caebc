"""A connection that is shared, beside a `Client` of one's own: received from, sent over, and echoed through."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import threading
import time
from collections import deque
from typing import Any, ClassVar, Final

import onesocket
from onesocket.sharing.host import HostOptions

from ..cores import unpin
from ..interprocess.workers import Worker
from ..loops import loop_factory
from ..workload import Sample, Workload
from .interprocess import loop_name
from .onesocket_client import OnesocketCallback, OnesocketIterator

IN_FLIGHT: Final = 1_000


class JoinedOnLoopCallback(OnesocketCallback):
    """`join(url, scope="loop")` and a callback."""

    scope: ClassVar[Any] = "loop"
    reading: ClassVar[dict[str, Any]] = {"overflow": "wait"}
    """Where messages come from another thread, as fast as can be, a callback that holds nothing back is removed."""

    async def open(self) -> None:
        """Join; the first one of the loop, which is that of the main thread."""
        self.client: Any = await onesocket.join(self.url, scope=self.scope, ping_interval=None)


class JoinedInProcessCallback(JoinedOnLoopCallback):
    """`join(url)`, as it is, in a program with one event loop."""

    scope = "process"


class ClientTraffic(OnesocketIterator):
    """A `Client`: `await client.send()`, `send_nowait()` with 1 000 in flight, and `async for`."""

    async def run(self, work: Workload) -> Sample | None:
        """As every subject; and one message after the other, timed, or with so many in flight."""
        match work.scenario:
            case "latency":
                return await self.latency(work.count, "x" * work.size)
            case "in-flight":
                await self.send_in_flight(work.count, "x" * work.size)
                return None
            case _:
                return await super().run(work)

    async def latency(self, count: int, payload: str) -> Sample:
        """`await send()` for each; the middle one of their times, times the number of messages."""
        await self.client.send(f"send {count}")
        send, clock, taken = self.client.send, time.perf_counter, []
        cpu = time.process_time()
        for _ in range(count):
            begin = clock()
            await send(payload)
            taken.append(clock() - begin)
        cpu = time.process_time() - cpu
        await anext(self.messages)
        return Sample(cpu, statistics.median(taken) * count)

    async def send_in_flight(self, count: int, payload: str) -> None:
        """`send_nowait`, and the delivery of the thousandth before it."""
        await self.client.send(f"send {count}")
        send, waiting = self.client.send_nowait, deque[Any]()
        for _ in range(count):
            if len(waiting) == IN_FLIGHT:
                delivery = waiting.popleft()
                if not delivery.done:
                    await delivery
            waiting.append(send(payload))
        for delivery in waiting:
            await delivery
        await anext(self.messages)


class JoinedOnLoop(ClientTraffic):
    """`join(url, scope="loop")`."""

    def options(self) -> dict[str, Any]:
        """Return the options of `join`, beside those that all have."""
        return {"scope": "loop"}

    async def open(self) -> None:
        """Join."""
        self.client: Any = await onesocket.join(self.url, ping_interval=None, **self.options())
        self.messages = self.client.subscribe(overflow="wait")  # as for callbacks


class JoinedInProcess(JoinedOnLoop):
    """`join(url)`, as it is, in a program with one event loop."""

    def options(self) -> dict[str, Any]:
        """Return none: that scope is the default."""
        return {}


class JoinedFromThread(JoinedInProcess):
    """`join(url)` on the loop of another thread than the first caller's, which is the main one."""

    async def open(self) -> None:
        """Join here, then there."""
        self.first = await onesocket.join(self.url, ping_interval=None)
        started = asyncio.get_running_loop().create_future()
        self.thread = threading.Thread(target=self._run_loop, args=(started, loop_name()), daemon=True)
        self.thread.start()
        self.loop, self.ended = await started
        await self._there(super().open())

    def _run_loop(self, started: asyncio.Future[Any], name: str) -> None:
        async def serve() -> None:
            ended = asyncio.Event()
            started.get_loop().call_soon_threadsafe(started.set_result, (asyncio.get_running_loop(), ended))
            await ended.wait()

        with asyncio.Runner(loop_factory=loop_factory(name)) as runner:
            runner.run(serve())

    async def _there(self, coroutine: Any) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.loop))

    async def run(self, work: Workload) -> Sample | None:
        """In the thread."""
        sample: Sample | None = await self._there(super().run(work))
        return sample

    async def close(self) -> None:
        """Leave there, then here."""
        await self._there(super().close())
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join()
        await self.first.aclose()


class HostSharer(JoinedOnLoop):
    """`join(url, scope="host")` in a program with one event loop; its address is a URL and a directory."""

    def __init__(self, address: str) -> None:
        url, _, self.directory = address.rpartition("|")
        super().__init__(url)

    def options(self) -> dict[str, Any]:
        """Return the scope, with a directory of its own."""
        return {"scope": "host", "host_options": HostOptions(directory=self.directory)}


class FollowerTraffic(ClientTraffic):
    """`join(url, scope="host")` in a process that doesn't own the connection. The CPU is that of both processes."""

    lasting = True

    async def open(self) -> None:
        """Start the owner first."""
        unpin()
        self.stack = contextlib.AsyncExitStack()
        directory = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="share-"))
        self.sharers: list[Worker] = []
        try:
            for _ in range(2):
                sharer = await Worker.start("onesocket", "sharer", f"{self.url}|{directory}", loop_name())
                self.stack.push_async_callback(sharer.end)
                self.sharers.append(sharer)
        except BaseException:
            await self.stack.aclose()
            raise

    async def close(self) -> None:
        """The follower first."""
        await self.stack.aclose()

    async def run(self, work: Workload) -> Sample | None:
        """In the follower."""
        owner, follower = self.sharers
        before = (await owner.ask(cpu=1))["cpu"]
        answer = await follower.ask(work=work.scenario, count=work.count, size=work.size)
        return Sample(answer["cpu"] + (await owner.ask(cpu=1))["cpu"] - before, answer["wall"])
