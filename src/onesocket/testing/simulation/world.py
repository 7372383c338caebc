"""One seed: the real client, the network, and a crowd of callers that do what they like."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ...client.client import Client
from ...client.status import Change
from ...errors import OnesocketError
from ...lifecycle.outbox import OutboxLimits
from ...lifecycle.retry import ReconnectPolicy
from ...lifecycle.states import State
from ..virtual_time import NothingWillHappen, VirtualTimeLoop, run_virtual
from .network import LATE, SimulatedServer
from .promises import Promises, StreamWatcher

_VERBS = {
    "connect": 40,
    "connect_nowait": 5,
    "reconnect": 8,
    "disconnect": 6,
    "send": 25,
    "send_nowait": 8,
    "subscribe": 8,
    "wait_for": 4,
    "look": 4,
    "suspend": 1,
    "aclose": 1,
}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one seed."""

    seed: int
    broken: tuple[str, ...]
    virtual_seconds: float
    dials: int
    calls: int
    faults: Counter[str] = field(default_factory=Counter[str])
    trace: tuple[str, ...] = ()


def run_seed(seed: int, *, trace: bool = False, make: Callable[..., Client] = Client) -> Result:
    """Live through one seed. The same seed gives the same life, step by step."""
    random.seed(seed)  # the client's own chance (the jitter of its back-off) is Python's global one
    world = _World(seed, make, trace=trace)
    loop = VirtualTimeLoop(random.Random(seed + 1))
    world.loop = loop
    try:
        run_virtual(world.live, loop=loop)
    except NothingWillHappen as error:
        world.promises.fail(f"promise 3: {error}")
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, it is this seed's result
        world.promises.fail(f"{type(error).__name__}: {error}")
    return Result(
        seed,
        tuple(world.promises.broken),
        loop.time(),
        len(world.server.peers),
        world.promises.calls,
        world.server.faults,
        tuple(world.trace),
    )


class _World:
    loop: VirtualTimeLoop

    def __init__(self, seed: int, make: Callable[..., Client], *, trace: bool) -> None:
        chance = self.chance = random.Random(seed)
        self.trace: list[str] = []
        self._tracing = trace
        open_timeout, close_timeout = chance.choice([(10.0, 5.0), (3.0, 1.0)])
        self.promises = Promises(open_timeout, close_timeout)
        self.server = SimulatedServer(chance, self.promises, self.note)
        self._sent = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.client = make(
            "ws://simulated.test/",
            transport=self.server.transport(),
            token=self._token if chance.random() < 0.3 else None,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            ping_interval=chance.choice([None, 5.0, 20.0]),
            ping_timeout=chance.choice([5.0, 20.0]),
            reconnect=chance.choice([None, ReconnectPolicy(), ReconnectPolicy(max_attempts=3, stable_after=1)]),
            outbox=chance.choice([None, OutboxLimits(messages=3, age=20), OutboxLimits()]),
        )

    def note(self, text: str) -> None:
        """A line of the trace."""
        if self._tracing:
            self.trace.append(f"{self.loop.time():10.3f}  {text}")

    async def live(self) -> None:
        """The whole life: trouble, then calm, then the end."""
        client = self.client
        client.on_change(self._changed)
        crowd = [asyncio.create_task(self._somebody(number)) for number in range(self.chance.randint(1, 6))]
        await asyncio.gather(*crowd)
        self.server.calm = True
        if client.state is not State.CLOSED:
            await self._call("reconnect at the end", client.reconnect)
        await self._call("aclose at the end", client.aclose)
        if self._tasks:
            _, hanging = await asyncio.wait(self._tasks, timeout=1000)
            for task in hanging:
                self.promises.fail(f"promise 3: {task.get_name()} hangs after aclose()")
                task.cancel()
        self.promises.at_the_end(self.server.open_now)
        if client.state is not State.CLOSED:
            self.promises.fail(f"aclose() ended in {client.state.name}")
        left = [handle for handle in self._timers() if not handle.cancelled()]
        if len(left) > self._own_timers():
            self.promises.fail(f"timers left behind: {left}")

    def _changed(self, change: Change) -> None:
        self.note(f"client: {change.old.name} → {change.new.name} ({change.cause})")
        if LATE in str(change.error):
            self.promises.fail(f"promise 5: a line of the past made {change.old.name} → {change.new.name}")
        if change.new is State.CONNECTING:
            self.promises.attempt_at = self.loop.time()

    def _timers(self) -> list[asyncio.TimerHandle]:
        scheduled: list[asyncio.TimerHandle] = getattr(self.loop, "_scheduled", [])
        return [handle for handle in scheduled if "onesocket/client" in repr(handle)]

    def _own_timers(self) -> int:
        return 0

    async def _token(self) -> str:
        delay = self.chance.choice([0, 0, 0.01, 1, 8, 100])
        if delay:
            await asyncio.sleep(delay)
        if self.chance.random() < 0.1:
            raise ValueError("the token source is down")
        return "token"

    async def _somebody(self, number: int) -> None:
        chance = self.chance
        for step in range(chance.randint(1, 6)):
            if chance.random() < 0.7:
                await asyncio.sleep(chance.choice([0, 0, 0.001, 0.5, 3, 15]))
            verb = chance.choices(list(_VERBS), weights=list(_VERBS.values()))[0]
            name = f"{verb} by {number}.{step}"
            task = asyncio.create_task(self._do(verb, name), name=name)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            fate = chance.random()
            if fate < 0.3:
                await self._cancel_somewhere(task, name)
            elif fate < 0.8:
                await asyncio.wait({task})

    async def _cancel_somewhere(self, task: asyncio.Task[None], name: str) -> None:
        if self.chance.random() < 0.5:
            for _ in range(self.chance.randrange(8)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.chance.expovariate(1))
        if not task.done():
            self.note(f"crowd: {name} is cancelled")
            task.cancel()
            await asyncio.wait({task})

    async def _do(self, verb: str, name: str) -> None:
        client = self.client
        match verb:
            case "connect" | "reconnect" | "disconnect":
                await self._call(name, getattr(client, verb))
            case "aclose":
                if self.chance.random() < 0.2:
                    await self._call(name, client.aclose)
            case "connect_nowait":
                self._call_nowait(name, client.connect_nowait)
            case "send" | "send_nowait":
                await self._send(verb, name)
            case "subscribe":
                await self._read()
            case "wait_for":
                await self._call(name, lambda: client.wait_for(State.CONNECTED, timeout=5))
            case "look":
                str((repr(client), client.status, client.stats))
            case _:
                self.note("world: suspended for an hour")
                self.loop.jump(3600)
                self.promises.jumped_at = self.loop.time()

    async def _call(self, name: str, call: Callable[[], Awaitable[Any]]) -> None:
        self.note(f"crowd: {name}")
        started, suspended = self.loop.time(), self.promises.jumped_at
        try:
            outcome = await call()
        except OnesocketError as error:
            outcome = error
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.promises.raised(name, error)
            raise
        self.note(f"crowd: {name} → {outcome!r}")
        if suspended == self.promises.jumped_at:  # otherwise the world was suspended meanwhile
            self.promises.ended(name, self.loop.time() - started)

    def _call_nowait(self, name: str, call: Callable[[], Any]) -> None:
        try:
            self.note(f"crowd: {name} → {call()!r}")
        except OnesocketError as error:
            self.note(f"crowd: {name} → {error!r}")

    async def _send(self, verb: str, name: str) -> None:
        self._sent += 1
        data = f"message {self._sent}"
        try:
            if verb == "send":
                await self.client.send(data)
            else:
                await self.client.send_nowait(data)
        except OnesocketError as error:
            self.note(f"crowd: {name} {data!r} → {error!r}")
            self.promises.not_delivered(data, error)

    async def _read(self) -> None:
        overflow = self.chance.choice(["fail", "wait", "drop_oldest"])
        watcher = StreamWatcher(self.promises)
        async with self.client.subscribe(overflow=overflow, limit=self.chance.choice([1, 5, 1000])) as stream:
            try:
                async with asyncio.timeout(self.chance.uniform(0, 60)):
                    async for message in stream:
                        watcher.see(message)
                        if self.chance.random() < 0.1:
                            await asyncio.sleep(self.chance.choice([0, 0.1, 5]))
            except (TimeoutError, OnesocketError):
                return
