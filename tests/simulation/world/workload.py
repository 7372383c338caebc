"""The engine of a simulated life: a server that breaks, callers that act and are cancelled, and the end of it all."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import dataclasses
import random
from collections.abc import Awaitable, Callable, Generator
from typing import Any, ClassVar

from onesocket.client._client import Client
from onesocket.client._status import Change
from onesocket.errors import ClosedByPeer, OnesocketError
from onesocket.lifecycle._outbox import OutboxLimits
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import State
from onesocket.lifecycle._verdict import Verdict
from onesocket.testing._virtual_time import VirtualTimeLoop

from .invariants import Invariants
from .network import LATE_EVENT, LIMIT_EXCEEDED, CheckedTransport, SimulatedServer

MakeClient = Callable[..., Client]

URL = "ws://simulated.test/"


class Workload(abc.ABC):
    """One seed's world; subclasses say which actions its callers perform."""

    action_weights: ClassVar[dict[str, int]]
    """Actions of the callers, and how often each is drawn."""

    def __init__(
        self,
        seed: int,
        make: MakeClient,
        loop: VirtualTimeLoop,
        *,
        trace: bool,
        skip: frozenset[str] = frozenset(),
    ) -> None:
        self._skip = skip
        self.performed_actions: list[str] = []
        """Names of the actions performed, in order."""
        chance = self.chance = random.Random(seed)
        self.loop = loop
        self.trace: list[str] = []
        self._tracing = trace
        self.open_timeout, self.close_timeout = chance.choice([(10.0, 5.0), (3.0, 1.0)])
        self.invariants = Invariants(self.open_timeout, self.close_timeout)
        self.server = SimulatedServer(chance, self.invariants, self.note)
        self._make = make
        self._tasks: set[asyncio.Task[None]] = set()
        self._tokens = 0
        """Number of times that the token was renewed."""

    def note(self, text: str) -> None:
        """A line of the trace."""
        if self._tracing:
            self.trace.append(f"{self.loop.time():10.3f}  {text}")

    def make_client(self, token: Any, **options: Any) -> Client:
        """A client with options drawn from the seed."""
        chance = self.chance
        transport = self.server.transport()
        client = self._make(
            URL,
            transport=transport,
            token=token,
            open_timeout=self.open_timeout,
            close_timeout=self.close_timeout,
            ping_interval=chance.choice([None, 5.0, 20.0]),
            ping_timeout=chance.choice([5.0, 20.0]),
            reconnect=self._policy(),
            outbox=chance.choice([None, OutboxLimits(messages=3, age=20), OutboxLimits()]),
            **options,
        )
        client.on_change(lambda change: self._changed(change, transport))
        return client

    retries_first: ClassVar = False
    """A share of the clients has first connects retried."""

    def _policy(self) -> ReconnectPolicy | None:
        """A policy; a fifth of them has first connects retried, and a fifth has a hook of its own mind."""
        chance = self.chance
        policy = chance.choice([None, ReconnectPolicy(), ReconnectPolicy(max_attempts=3, stable_after=1)])
        if policy is None:
            return None
        first, has_hook = self.retries_first and chance.random() < 0.2, chance.random() < 0.2
        return dataclasses.replace(policy, first=first, verdict=self._verdict if has_hook else None)

    def _verdict(self, error: OnesocketError) -> Verdict | None:
        """A hook that has a word of its own now and then, and fails at times."""
        answer = self.chance.choice([None, None, None, "fail", Verdict.RETRY, Verdict.SLOW, Verdict.NEW_TOKEN])
        if answer == "fail":
            raise ValueError(f"no verdict on {type(error).__name__}")
        return answer if isinstance(answer, Verdict) else None

    @abc.abstractmethod
    async def do(self, verb: str, name: str) -> None:
        """Perform one action of a caller."""

    @abc.abstractmethod
    async def finish(self) -> None:
        """The last actions, once the faults are over: connect once more, then close everything."""

    async def live(self) -> None:
        """The whole life: trouble, then calm, then the end."""
        callers = [asyncio.create_task(self._caller(number)) for number in range(self.chance.randint(1, 6))]
        await asyncio.gather(*callers)
        self.server.faults_disabled = True
        await self.finish()
        if self._tasks:
            _, hanging = await asyncio.wait(self._tasks, timeout=1000)
            for task in hanging:
                self.invariants.fail(f"promise 3: {task.get_name()} hangs after aclose()")
                task.cancel()
        self.invariants.check_at_end(self.server.open_now)
        scheduled: list[asyncio.TimerHandle] = getattr(self.loop, "_scheduled", [])
        left = [handle for handle in scheduled if "onesocket/client" in repr(handle) and not handle.cancelled()]
        if left:
            self.invariants.fail(f"timers left behind: {left}")

    async def call(self, name: str, call: Callable[[], Awaitable[Any]], *, deadline: float | None = None) -> None:
        """Await one public call: it must end in time, with a result or a typed error."""
        self.note(f"call: {name}")
        started, suspended = self.loop.time(), self.invariants.jumped_at
        try:
            outcome = await call()
        except OnesocketError as error:
            outcome = error
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.invariants.raised(name, error)
            raise
        self.note(f"call: {name} → {outcome!r}")
        if suspended == self.invariants.jumped_at:  # otherwise the world was suspended meanwhile
            self.invariants.ended(name, self.loop.time() - started, deadline)

    @contextlib.contextmanager
    def check_delivery(self, name: str, data: str) -> Generator[None]:
        """A message is sent inside: what its sender is told is compared with what the server has."""
        connection = self.server.peers[-1] if self.server.peers else None
        try:
            yield
        except OnesocketError as error:
            self.note(f"call: {name} {data!r} → {error!r}")
            self.invariants.not_delivered(data, error)
            raise
        if connection is not None and connection is self.server.peers[-1] and connection.is_open:
            self.invariants.delivered(data, connection)

    def suspend(self) -> None:
        """The machine sleeps for an hour."""
        self.note("world: suspended for an hour")
        self.loop.jump(3600)
        self.invariants.jumped_at = self.loop.time()

    async def token(self, previous: str | None = None, error: OnesocketError | None = None) -> str:
        """A token source that is slow at times, and fails at times; it mostly has another token once one is refused."""
        if (previous is None) != (error is None):
            self.invariants.fail("a token source is told of a token without its refusal, or of a refusal without one")
        delay = self.chance.choice([0, 0, 0.01, 1, 8, 100])
        if delay:
            await asyncio.sleep(delay)
        if self.chance.random() < 0.1:
            raise ValueError("the token source is down")
        if previous is not None and self.chance.random() < 0.7:
            self._tokens += 1
        return f"token {self._tokens}"

    def _changed(self, change: Change, transport: CheckedTransport) -> None:
        self.note(f"client: {change.old.name} → {change.new.name} ({change.cause})")
        if LATE_EVENT in str(change.error):
            self.invariants.fail(f"promise 5: a connection of the past made {change.old.name} → {change.new.name}")
        if (
            change.new is State.FAILED
            and isinstance(change.error, ClosedByPeer)
            and LIMIT_EXCEEDED in str(change.error)
        ):
            self.invariants.fail("a connection that was up is given up because the server's limit was met once")
        if change.new is State.CONNECTING:
            transport.attempt_at = self.loop.time()

    async def _caller(self, number: int) -> None:
        chance = self.chance
        for step in range(chance.randint(1, 6)):
            if chance.random() < 0.7:
                await asyncio.sleep(chance.choice([0, 0, 0.001, 0.5, 3, 15]))
            verb = chance.choices(list(self.action_weights), weights=list(self.action_weights.values()))[0]
            name = f"{verb} by {number}.{step}"
            if name in self._skip:
                continue
            self.performed_actions.append(name)
            task = asyncio.create_task(self.do(verb, name), name=name)
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
            self.note(f"call: {name} is cancelled")
            task.cancel()
            await asyncio.wait({task})
