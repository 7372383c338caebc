"""One epoch of this member as the leader: the lease, the feed, the mailbox and the answers."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from ..._task_end import leave_alone
from ...errors import EngineFull, EngineUnavailable, Fenced, OnesocketError
from ._byte_queue import ByteQueue
from ._coordinator import Coordinator, Lease, Position, Submission
from ._faults import Faults
from ._feed_payload import FeedWriter
from ._lease_clock import LeaseClock
from ._retrying import Adopt, Backoff, end_tasks, start_task, until_done

_WAIT: Final = 5.0
"""Seconds for which the engine is asked to wait for submissions."""
MAX_BATCH: Final = 2**20
"""Bytes of one payload, if the engine takes as many."""


class LeadershipEnd(enum.Enum):
    """Reason for which an epoch of this member ended."""

    LEASE_LOST = "lease lost"
    """Another member may lead already: close at once."""
    ENGINE_LOST = "engine lost"
    """The lease could not be renewed, and ends after the margin."""


class Leadership:
    """Runs between a lease that was granted and its end. What is added to `feed` is published after `wake()`."""

    def __init__(
        self,
        coordinator: Coordinator,
        lease: Lease,
        clock: LeaseClock,
        now: Callable[[], float],
        room: int,
        *,
        adopt: Adopt = leave_alone,
        faults: Faults | None = None,
    ) -> None:
        """`now`: the time by which `clock` counts; `room`: bytes that may wait for the engine."""
        self._faults = Faults() if faults is None else faults
        self._coordinator = coordinator
        self.epoch = lease.epoch
        self._clock = clock
        self._now = now
        self._adopt = adopt
        self.feed = FeedWriter(room)
        self._most = min(coordinator.max_payload, MAX_BATCH)
        self._position = lease.position
        """Of the newest batch."""
        self._publishing: bytes | None = None
        """Payload of that batch, until the engine has it for certain."""
        self._feed_changed = asyncio.Event()
        self._answers: dict[str, ByteQueue] = {}
        """By member; those with bytes to send."""
        self._answered: dict[str, int] = {}
        """Numbers of the newest answers."""
        self._answering: tuple[str, bytes] | None = None
        self._answers_changed = asyncio.Event()
        self._feed_settled, self._answers_settled = asyncio.Event(), asyncio.Event()
        """Set when nothing waits, or is under way; cleared by who waits for that."""
        self._taken = Position(lease.epoch, 0)
        """Of the newest submission."""

    def __repr__(self) -> str:
        return f"<Leadership epoch={self.epoch} batches={self._position.number} {self.feed!r}>"

    @property
    def may_send(self) -> bool:
        """True while the connection may be used."""
        return self._clock.may_send(self._now())

    def wake(self) -> None:
        """Publish what was added to the feed."""
        self._feed_changed.set()

    def answer(self, member: str, frame: bytes) -> None:
        """Answer a member with an encoded frame."""
        self._answers.setdefault(member, ByteQueue()).put(frame)
        self._answers_changed.set()

    def forget(self, member: str) -> None:
        """Drop what waits for a member that is gone."""
        self._answers.pop(member, None)

    async def hold(self, seconds: float) -> LeadershipEnd | None:
        """Only renew the lease, for so long: the connection before may still be open. Returns the end, if it comes."""
        renewing = start_task(self._renew(lambda: None), self._adopt)
        try:
            await asyncio.wait((renewing,), timeout=seconds)
            return await renewing if renewing.done() else None
        finally:
            await end_tasks(renewing)

    async def run(self, on_submission: Callable[[Submission], None], on_renewed: Callable[[], None]) -> LeadershipEnd:
        """Renew, publish, take and answer until the lease is lost or can't be renewed.

        Raises unexpected exceptions if many come in a row.
        """
        tasks: list[asyncio.Task[LeadershipEnd]] = [
            start_task(each, self._adopt)
            for each in (
                self._renew(on_renewed),
                self._going_on(self._publish),
                self._going_on(lambda: self._take(on_submission)),
                self._going_on(self._answer),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ends: set[LeadershipEnd] = set()
            for task in done:
                try:
                    ends.add(task.result())
                except Fenced:
                    ends.add(LeadershipEnd.LEASE_LOST)
            return LeadershipEnd.LEASE_LOST if LeadershipEnd.LEASE_LOST in ends else LeadershipEnd.ENGINE_LOST
        finally:
            await end_tasks(*tasks)

    async def _going_on(self, work: Callable[[], Coroutine[Any, Any, LeadershipEnd]]) -> LeadershipEnd:
        """Do a part of the work, and go on with it after unexpected exceptions."""
        while True:
            try:
                return await work()
            except OnesocketError:
                raise
            except Exception as error:
                self._faults.note(error, "a task of the member that leads the cluster")
                if self._faults.are_many:
                    raise
            await self._faults.wait()

    async def settle(self) -> None:
        """Wait until what waits is published and answered, while `run` does that."""
        for settled, changed in (
            (self._feed_settled, self._feed_changed),
            (self._answers_settled, self._answers_changed),
        ):
            settled.clear()
            changed.set()
            await settled.wait()

    async def finish(self, timeout: float) -> None:
        """Publish and answer what waits, and release the lease: the connection is closed. Nothing else runs."""
        try:
            with contextlib.suppress(OnesocketError, TimeoutError):  # else the lease ends by itself
                async with asyncio.timeout(timeout):
                    await self._finished(self._publish_next)  # if not: readers see what is missing
                    # After an end in order, what has no answer was not sent, and would be sent twice.
                    if await self._finished(self._answer_next):
                        end = Position(self.epoch, self._position.number + 1)
                        await until_done(lambda: self._coordinator.release(end))
        finally:
            self._clock.ended()

    async def _finished(self, step: Callable[[], Awaitable[bool]]) -> bool:
        """Publish or answer all that waits; False: that failed unexpectedly."""
        try:
            while await step():
                pass
        except OnesocketError:
            raise
        except Exception as error:  # noqa: BLE001 - no memory, or a bug
            self._faults.note(error, "a task of the member that leads the cluster")
            return False
        return True

    # --- the lease --------------------------------------------------------------------------------------------------

    async def _renew(self, on_renewed: Callable[[], None]) -> LeadershipEnd:
        clock = self._clock
        while True:
            await asyncio.sleep(max(0.0, clock.renew_at - self._now()))
            requested_at = self._now()
            left = clock.close_at - requested_at
            if left <= 0:
                return LeadershipEnd.ENGINE_LOST
            try:
                async with asyncio.timeout(left):
                    is_renewed = await self._coordinator.renew(self.epoch, clock.ttl)
            except (EngineUnavailable, EngineFull, TimeoutError):
                clock.renewal_failed(self._now())
                if clock.renew_at - self._now() < clock.margin / 100:  # too late for another one
                    await asyncio.sleep(max(0.0, clock.close_at - self._now()))
                    return LeadershipEnd.ENGINE_LOST
                continue
            if not is_renewed:
                clock.ended()
                return LeadershipEnd.LEASE_LOST
            clock.granted(requested_at)
            try:
                on_renewed()
            except Exception as error:  # noqa: BLE001 - the lease is renewed all the same, and the next time is near
                self._faults.note(error, "a renewal of the member that leads the cluster")

    # --- the feed ---------------------------------------------------------------------------------------------------

    async def _publish(self) -> LeadershipEnd:
        while True:
            self._feed_changed.clear()
            while await self._publish_next():
                pass
            self._feed_settled.set()
            await self._feed_changed.wait()

    async def _publish_next(self) -> bool:
        """Publish one payload; False: nothing waits. Cancelled, it goes on with the same one."""
        payload = self._publishing
        if payload is None:
            payload = self.feed.take(self._most)
            if payload is None:
                return False
            self._publishing = payload
            self._position = Position(self.epoch, self._position.number + 1)
        await until_done(lambda: self._coordinator.publish(self._position, payload))
        self._publishing = None
        return True

    # --- other members ----------------------------------------------------------------------------------------------

    async def _take(self, on_submission: Callable[[Submission], None]) -> LeadershipEnd:
        backoff = Backoff()
        while True:
            try:
                taken = await self._coordinator.take(self._taken, _WAIT)
            except (EngineUnavailable, EngineFull):  # full: what is done can't be dropped now
                await backoff.wait()
                continue
            backoff.reset()
            for submission in taken:
                self._taken = submission.position
                on_submission(submission)

    async def _answer(self) -> LeadershipEnd:
        while True:
            self._answers_changed.clear()
            while await self._answer_next():
                pass
            self._answers_settled.set()
            await self._answers_changed.wait()

    async def _answer_next(self) -> bool:
        """As `_publish_next`, for one answer to one member."""
        if self._answering is None:
            if not self._answers:
                return False
            member, queue = next(iter(self._answers.items()))
            self._answering = member, queue.take(self._most)
            self._answered[member] = self._answered.get(member, 0) + 1
            del self._answers[member]
            if queue:
                self._answers[member] = queue  # after those of the others
        member, payload = self._answering
        position = Position(self.epoch, self._answered[member])
        await until_done(lambda: self._coordinator.answer(member, position, payload))
        self._answering = None
        return True
