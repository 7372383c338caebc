"""The operations of a member with counts of what they meet, for metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from ...errors import EngineUnavailable, Fenced, OnesocketError
from ._coordinator import Coordinator, Lag, Lease, LeaseInfo, Position, Record, RecordKind, Submission
from ._textless_error import textless

T = TypeVar("T")
_log: Final = logging.getLogger("onesocket")


class ClusterCounters:
    """Counts of one process, whichever of its roles is the member. Read in any thread."""

    __slots__ = ("engine_errors", "epoch", "fenced_writes", "lag", "leader_changes", "renewal_duration")

    def __init__(self) -> None:
        self.epoch = 0
        """The newest epoch that was heard of."""
        self.leader_changes = 0
        """Epochs that followed another one that was heard of."""
        self.fenced_writes = 0
        self.engine_errors: dict[str, int] = {}
        """By the name of the error."""
        self.renewal_duration: float | None = None
        """Seconds that the last renewal took."""
        self.lag: Lag | None = None
        """At the last announcement."""

    def __repr__(self) -> str:
        return f"<ClusterCounters epoch={self.epoch} fenced={self.fenced_writes} errors={self.engine_errors}>"

    def note_epoch(self, epoch: int) -> None:
        """Note an epoch that was granted, or read about."""
        if epoch > self.epoch:
            self.leader_changes += self.epoch != 0
            self.epoch = epoch

    def note_error(self, error: Exception) -> None:
        """Count an operation, or a task of a member, that failed."""
        if isinstance(error, Fenced):
            self.fenced_writes += 1
        else:
            name = type(error).__name__
            # A new dictionary: another thread may iterate over the present one.
            self.engine_errors = {**self.engine_errors, name: self.engine_errors.get(name, 0) + 1}


class CountedCoordinator:
    """A `Coordinator` that counts, and whose unexpected exceptions (no memory, a library's bug) are typed errors."""

    def __init__(self, coordinator: Coordinator, counters: ClusterCounters, engine: str = "of the cluster") -> None:
        """`engine`: its address without secrets."""
        self._coordinator = coordinator
        self._counters = counters
        self._engine = engine
        self.member = coordinator.member
        self._failing: set[tuple[str, type[Exception]]] = set()
        """Operations that fail unexpectedly, with the exceptions that were logged."""

    def __repr__(self) -> str:
        return repr(self._coordinator)

    @property
    def max_payload(self) -> int:
        """As `Coordinator.max_payload`."""
        return self._coordinator.max_payload

    async def check(self) -> None:
        """As `Coordinator.check`."""
        await self._counted(self._coordinator.check())

    async def acquire(self, ttl: float, after: int) -> Lease | LeaseInfo:
        """As `Coordinator.acquire`."""
        got = await self._counted(self._coordinator.acquire(ttl, after))
        self._counters.note_epoch(got.epoch)
        return got

    async def renew(self, epoch: int, ttl: float) -> bool:
        """As `Coordinator.renew`."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        is_renewed = await self._counted(self._coordinator.renew(epoch, ttl))
        self._counters.renewal_duration = loop.time() - began_at
        return is_renewed

    async def release(self, position: Position) -> None:
        """As `Coordinator.release`."""
        await self._counted(self._coordinator.release(position))

    async def lease(self) -> LeaseInfo | None:
        """As `Coordinator.lease`."""
        return await self._counted(self._coordinator.lease())

    async def publish(self, position: Position, payload: bytes) -> None:
        """As `Coordinator.publish`."""
        await self._counted(self._coordinator.publish(position, payload))

    async def follow(self, feed: Position, answers: Position, wait: float) -> list[Record]:
        """As `Coordinator.follow`."""
        records = await self._counted(self._coordinator.follow(feed, answers, wait))
        for each in records:
            if each.kind is RecordKind.BEGAN:
                self._counters.note_epoch(each.position.epoch)
        return records

    async def submit(self, position: Position, payload: bytes) -> None:
        """As `Coordinator.submit`."""
        await self._counted(self._coordinator.submit(position, payload))

    async def take(self, done: Position, wait: float) -> list[Submission]:
        """As `Coordinator.take`."""
        return await self._counted(self._coordinator.take(done, wait))

    async def answer(self, member: str, position: Position, payload: bytes) -> None:
        """As `Coordinator.answer`."""
        await self._counted(self._coordinator.answer(member, position, payload))

    async def announce(self, note: bytes, feed: Position, ttl: float) -> Lag | None:
        """As `Coordinator.announce`."""
        self._counters.lag = None
        lag = self._counters.lag = await self._counted(self._coordinator.announce(note, feed, ttl))
        return lag

    async def reserve_slot(self, name: str, period: float, delay: float) -> float:
        """As `Coordinator.reserve_slot`."""
        return await self._counted(self._coordinator.reserve_slot(name, period, delay))

    def descriptors(self) -> list[int]:
        """As `Coordinator.descriptors`."""
        return self._coordinator.descriptors()

    async def aclose(self) -> None:
        """As `Coordinator.aclose`."""
        await self._coordinator.aclose()

    async def _counted(self, operation: Coroutine[Any, Any, T]) -> T:
        name = str(getattr(operation, "__name__", "an operation"))
        try:
            result = await operation
        except OnesocketError as error:
            self._counters.note_error(error)
            raise
        except Exception as error:  # noqa: BLE001 - a typed error is raised instead
            self._counters.note_error(error)
            # It may have been carried out, or not, as without a reply.
            failure = EngineUnavailable(f"the engine {self._engine} failed: {type(error).__name__}")
            if (name, type(error)) not in self._failing:
                self._failing.add((name, type(error)))
                _log.error("%s, in %s; this is tried again", failure, name, exc_info=textless(error))
            raise failure from textless(error)
        if self._failing:
            self._failing = {each for each in self._failing if each[0] != name}
        return result
