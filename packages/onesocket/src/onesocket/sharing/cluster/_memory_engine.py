"""An engine in the memory of one process, for tests of members: several of them on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from ...errors import EngineUnavailable
from ._cluster_view import ClusterView
from ._coordinator import (
    ClusterKey,
    Lag,
    Lease,
    LeaseInfo,
    Position,
    Record,
    Submission,
    check_member_name,
)
from ._engine_errors import check_size
from ._engine_model import EngineModel
from ._login_slots import LoginSlots

T = TypeVar("T")
_MOST: Final = 1000
"""Records that one call returns."""
_MAX_PAYLOAD: Final = 2**20


class MemoryEngine:
    """`ClusterEngine` without a server. Its clock is that of the event loop, so it runs on virtual time as well."""

    def __init__(self, *, records: int = 10_000, mails: int = 10_000) -> None:
        self._records = records
        self._mails = mails
        self.is_available = True
        """False: operations fail with `EngineUnavailable`, also those that wait, from `interrupt_waits()` on."""
        self.before: Callable[[str, str], None] | None = None
        """Called with member and operation before each; raise `EngineUnavailable` to lose the request."""
        self.after: Callable[[str, str], None] | None = None
        """Called with member and operation after each; raise `EngineUnavailable` to lose the reply."""
        self._models: dict[ClusterKey, EngineModel] = {}
        self._slots: dict[str, LoginSlots] = {}
        self._changed: asyncio.Event | None = None

    def __str__(self) -> str:
        return "memory:"

    def open(self, key: ClusterKey, member: str) -> MemoryCoordinator:
        """As `ClusterEngine.open`."""
        slots = self._slots.setdefault(key.prefix, LoginSlots())
        return MemoryCoordinator(self, self.model(key), check_member_name(member), slots)

    def observe(self, prefix: str) -> MemoryObserver:
        """As `ClusterEngine.observe`."""
        return MemoryObserver(self, {key: model for key, model in self._models.items() if key.prefix == prefix})

    def model(self, key: ClusterKey) -> EngineModel:
        """The state for one key."""
        return self._models.setdefault(key, EngineModel(records=self._records, mails=self._mails))

    def interrupt_waits(self) -> None:
        """Have everything that waits look again."""
        if self._changed is not None:
            self._changed.set()
        self._changed = None

    async def changed(self, timeout: float) -> None:
        """Wait for the next change of any key, or for `timeout` seconds."""
        if self._changed is None:
            self._changed = asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            pass


class MemoryCoordinator:
    """`Coordinator` on a `MemoryEngine`."""

    max_payload = _MAX_PAYLOAD

    def __init__(self, engine: MemoryEngine, model: EngineModel, member: str, slots: LoginSlots) -> None:
        self._engine = engine
        self._model = model
        self._slots = slots
        self.member = member
        self._acknowledged = Position(0, 0)
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<MemoryCoordinator {self.member} {self._model!r}>"

    async def check(self) -> None:
        """As `Coordinator.check`."""
        await self._step("check", lambda _: None)

    async def acquire(self, ttl: float, after: int) -> Lease | LeaseInfo:
        """As `Coordinator.acquire`."""
        return await self._step("acquire", lambda now: self._model.acquire(self.member, ttl, after, now))

    async def renew(self, epoch: int, ttl: float) -> bool:
        """As `Coordinator.renew`."""
        return await self._step("renew", lambda now: self._model.renew(self.member, epoch, ttl, now))

    async def release(self, position: Position) -> None:
        """As `Coordinator.release`."""
        await self._step("release", lambda now: self._model.release(self.member, position, now))

    async def lease(self) -> LeaseInfo | None:
        """As `Coordinator.lease`."""
        return await self._step("lease", self._model.lease)

    async def publish(self, position: Position, payload: bytes) -> None:
        """As `Coordinator.publish`."""
        check_size(payload, self.max_payload)
        known = self._acknowledged.number if self._acknowledged.epoch == position.epoch else 0
        await self._step("publish", lambda now: self._model.publish(self.member, position, payload, known, now))
        self._acknowledged = max(self._acknowledged, position)

    async def follow(self, feed: Position, answers: Position, wait: float) -> list[Record]:
        """As `Coordinator.follow`."""
        return await self._wait_for("follow", wait, lambda: self._model.read(self.member, feed, answers)[:_MOST])

    async def submit(self, position: Position, payload: bytes) -> None:
        """As `Coordinator.submit`."""
        check_size(payload, self.max_payload)
        await self._step("submit", lambda now: self._model.submit(self.member, position, payload, now))

    async def take(self, done: Position, wait: float) -> list[Submission]:
        """As `Coordinator.take`."""
        return await self._wait_for("take", wait, lambda: self._model.take(done)[:_MOST])

    async def answer(self, member: str, position: Position, payload: bytes) -> None:
        """As `Coordinator.answer`."""
        check_size(payload, self.max_payload)
        await self._step("answer", lambda now: self._model.answer(self.member, member, position, payload, now))

    async def reserve_slot(self, name: str, period: float, delay: float) -> float:
        """As `Coordinator.reserve_slot`."""
        return await self._step("reserve_slot", lambda now: self._slots.reserve(name, period, delay, now))

    def descriptors(self) -> list[int]:
        """None."""
        return []

    async def announce(self, note: bytes, feed: Position, ttl: float) -> Lag | None:
        """As `Coordinator.announce`."""
        return await self._step("announce", lambda now: self._model.announce(self.member, note, feed, ttl, now))

    async def aclose(self) -> None:
        """As `Coordinator.aclose`."""
        self._is_closed = True

    async def _step(self, operation: str, step: Callable[[float], T]) -> T:
        await asyncio.sleep(0)  # as every operation that goes over a network
        self._check_available()
        if self._engine.before is not None:
            self._engine.before(self.member, operation)
        result = step(asyncio.get_running_loop().time())
        self._engine.interrupt_waits()
        if self._engine.after is not None:
            self._engine.after(self.member, operation)
        return result

    async def _wait_for(self, operation: str, wait: float, read: Callable[[], list[T]]) -> list[T]:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        await asyncio.sleep(0)
        while True:
            self._check_available()
            if self._engine.before is not None:
                self._engine.before(self.member, operation)
            found = read()
            left = until - loop.time()
            if found or left <= 0:
                return found
            await self._engine.changed(left)

    def _check_available(self) -> None:
        if self._is_closed or not self._engine.is_available:
            raise EngineUnavailable("the engine in memory is not available")


class MemoryObserver:
    """`ClusterObserver` on a `MemoryEngine`."""

    def __init__(self, engine: MemoryEngine, models: dict[ClusterKey, EngineModel]) -> None:
        self._engine = engine
        self._models = models
        self.commands = 0

    def __repr__(self) -> str:
        return f"<MemoryObserver {len(self._models)}>"

    async def look(self, beginning: str) -> list[ClusterView]:
        """As `ClusterObserver.look`."""
        self.commands += 1
        await asyncio.sleep(0)
        if not self._engine.is_available:
            raise EngineUnavailable("the engine in memory is not available")
        now = asyncio.get_running_loop().time()
        keys = sorted((key for key in self._models if key.digest.startswith(beginning)), key=lambda key: key.digest)
        views = [
            ClusterView(key.digest, self._models[key].lease(now), self._models[key].announced(now)) for key in keys
        ]
        return [view for view in views if not view.is_empty]

    async def aclose(self) -> None:
        """As `ClusterObserver.aclose`."""
