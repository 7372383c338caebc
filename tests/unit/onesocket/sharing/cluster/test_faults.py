"""Unexpected exceptions in the tasks of a member, on virtual time: each goes on, and what may be missing is marked."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
import ssl
import traceback
from collections.abc import Callable
from typing import Any, Final

import pytest

from onesocket import Gap
from onesocket.client import GapReason
from onesocket.errors import EngineUnavailable
from onesocket.sharing.cluster._announcements import Announcer, announcement
from onesocket.sharing.cluster._coordinator import START, LeaseInfo, Position, RecordKind
from onesocket.sharing.cluster._counted_coordinator import ClusterCounters, CountedCoordinator
from onesocket.sharing.cluster._faults import Faults
from onesocket.sharing.cluster._feed_payload import FeedReader, FeedWriter
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.sharing.cluster._submitter import Submitter
from onesocket.sharing.host._ipc_frames import GapNotice, MessageBatch, Results, SnapshotAnswer
from onesocket.testing import run_virtual
from tests.unit.onesocket.sharing.cluster.test_following import KEY, Play, play, settle, stopped
from tests.unit.onesocket.sharing.cluster.test_leadership import TTL, Leader, run_leader

FAULTS: Final = [
    MemoryError(),
    RuntimeError("Buffer is closed."),
    RecursionError("maximum recursion depth exceeded"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ssl.SSLError(1, "record layer failure"),
    OSError(errno.EMFILE, "Too many open files"),
    KeyError("a bug"),
]
"""No memory, and exceptions of the engines' libraries that are none of their own types."""
OPERATIONS: Final = (
    *("check", "acquire", "renew", "release", "lease", "publish", "follow", "submit", "take", "answer"),
    *("announce", "reserve_slot"),
)


def name_of(fault: Exception) -> str:
    return type(fault).__name__


each_fault: Final = pytest.mark.parametrize("fault", FAULTS, ids=name_of)
some_faults: Final = pytest.mark.parametrize("fault", [FAULTS[0], FAULTS[1], FAULTS[5]], ids=name_of)
"""For tests that take longer; one of them is an OSError, which much code handles."""


def fresh(fault: Exception) -> Exception:
    """The same without a traceback, which would grow."""
    return type(fault)(*fault.args)


class Failing:
    """Raises an exception a few times instead of a call, and then calls; as a class's attribute, it is a method."""

    def __init__(self, fault: Exception, call: Callable[..., Any], times: int = 1) -> None:
        self._fault, self._call, self.left = fault, call, times

    def __get__(self, instance: object, _: type) -> Callable[..., Any]:
        return functools.partial(self, instance)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.left:
            self.left -= 1
            raise fresh(self._fault)
        return self._call(*arguments, **named)


async def call(coordinator: CountedCoordinator, operation: str) -> None:
    at = Position(1, 1)
    arguments: dict[str, tuple[Any, ...]] = {
        "acquire": (9, 0),
        "renew": (1, 9),
        "release": (at,),
        "publish": (at, b""),
        "follow": (START, START, 0),
        "submit": (at, b""),
        "take": (at, 0),
        "answer": ("a", at, b""),
        "announce": (b"", START, 9),
        "reserve_slot": ("slot", 5, 0),
    }
    await getattr(coordinator, operation)(*arguments.get(operation, ()))


@each_fault
def test_an_operation_that_fails_unexpectedly_counts_as_one_without_a_reply(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        engine, counters = MemoryEngine(), ClusterCounters()
        coordinator = CountedCoordinator(engine.open(KEY, "a"), counters, str(engine))
        for operation in OPERATIONS:
            engine.before = Failing(fault, lambda *_: None, 100)
            for _ in range(3):
                with pytest.raises(EngineUnavailable) as caught:
                    await call(coordinator, operation)
                assert str(caught.value.__cause__).startswith(name_of(fault))
                assert str(caught.value) == f"the engine memory: failed: {name_of(fault)}"
            engine.before = None
        assert counters.engine_errors == {name_of(fault): 3 * len(OPERATIONS)}
        assert len(caplog.records) == len(OPERATIONS)  # the first of each
        await call(coordinator, "acquire")
        engine.before = Failing(fault, lambda *_: None)
        with pytest.raises(EngineUnavailable):
            await call(coordinator, "acquire")
        assert len(caplog.records) == len(OPERATIONS) + 1

    run_virtual(main)


@pytest.mark.parametrize(
    "fault", [ValueError("redis://:hunter2@host"), OSError(errno.EMFILE, "hunter2", "/hunter2"), OSError("hunter2")]
)
def test_an_unexpected_exception_is_shown_by_type_and_place_without_its_text(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The text is the library's, which may name the URL with its password, or what the engine was sent."""
    fault.__cause__ = KeyError("hunter2")
    shown: list[str] = []

    async def main() -> None:
        engine, counters = MemoryEngine(), ClusterCounters()
        engine.before = Failing(fault, lambda *_: None, 100)
        member = engine.open(KEY, "a")
        try:
            await CountedCoordinator(member, counters, str(engine)).lease()
        except EngineUnavailable as error:
            shown.extend(traceback.format_exception(error))
        try:
            await member.lease()
        except type(fault) as error:
            Faults(counters).note(error, "a task")
        announcer = Announcer(member, lambda: (announcement("follower"), START), TTL)
        announcer.begin()
        await asyncio.sleep(TTL)
        await announcer.aclose()

    run_virtual(main)
    formatter = logging.Formatter()
    shown += [formatter.format(record) for record in caplog.records]
    assert len(caplog.records) == 3
    everything = "".join(shown)
    assert "hunter2" not in everything
    assert everything.count("_memory_engine.py") >= 4  # each with its place
    assert everything.count(f"OnesocketError: {name_of(fault)}") == 4
    if getattr(fault, "errno", None):
        assert os.strerror(errno.EMFILE) in everything


def test_delays_grow_while_faults_come_and_begin_anew_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        counters = ClusterCounters()
        faults = Faults(counters)
        now = asyncio.get_running_loop().time
        delays: list[float] = []
        for _ in range(14):
            faults.note(MemoryError(), "a task")
            began = now()
            await faults.wait()
            delays.append(round(now() - began, 3))
        assert delays[:6] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
        assert delays[-1] == 30.0
        assert faults.are_many
        assert counters.engine_errors == {"MemoryError": 14}
        assert len(caplog.records) == 14
        assert {record.levelno for record in caplog.records} == {logging.ERROR}
        await asyncio.sleep(301)
        faults.note(MemoryError(), "a task")
        assert not faults.are_many

    run_virtual(main)


def test_delays_end_nothing_however_many_faults_come_in_a_row() -> None:
    async def main() -> None:
        faults = Faults()
        for _ in range(1100):
            faults.note(MemoryError(), "a task")
        began = asyncio.get_running_loop().time()
        await faults.wait()
        assert asyncio.get_running_loop().time() - began == pytest.approx(30)

    run_virtual(main)


# --- the feed's payloads --------------------------------------------------------------------------------------------


def with_messages(*batches: list[str]) -> list[bytes]:
    writer = FeedWriter(2**20)
    taken: list[bytes] = []
    for batch in batches:
        writer.add_batch(list(batch))
        taken.append(writer.take(2**17) or b"")
    return taken


@each_fault
def test_a_payload_that_is_lost_on_the_way_is_marked_with_its_number(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = FeedReader("b")
    reader.begin(from_start=True)
    first, second, third = with_messages(["a"], ["b", "c"], ["d"])
    reader.read(first, 1)
    with monkeypatch.context() as patch:
        patch.setattr("onesocket.sharing.cluster._feed_payload.decode_owner_frame", Failing(fault, len))
        with pytest.raises(type(fault)):
            reader.read(second, 1)
    gap, batch = reader.read(third, 1)
    assert isinstance(gap, GapNotice)
    assert gap.gap.missed == 2
    assert batch == MessageBatch(["d"])


def test_a_payload_for_which_there_is_no_memory_is_taken_later() -> None:
    class NoMemory(bytes):
        left = 1

        def __len__(self) -> int:
            if NoMemory.left:
                NoMemory.left = 0
                raise MemoryError
            return super().__len__()

    writer = FeedWriter(2**20)
    writer.add_batch(["a", "b"])
    writer._pieces[0].data = NoMemory(writer._pieces[0].data)
    with pytest.raises(MemoryError):
        writer.take(2**17)
    reader = FeedReader("b")
    reader.begin(from_start=True)
    assert reader.read(writer.take(2**17) or b"", 1) == [MessageBatch(["a", "b"])]
    assert writer.take(2**17) is None


# --- a member that follows ------------------------------------------------------------------------------------------


async def attached(play: Play) -> asyncio.Task[None]:
    running = await play.follow()
    await play.submissions()
    play.feed.add_for("b", [SnapshotAnswer(0, [])])
    await play.publish()
    await settle()
    play.events.clear()
    return running


async def followed_again(play: Play, running: asyncio.Task[None], fault: Exception) -> asyncio.Task[None]:
    """Follow again after an unexpected exception, as the owner of the host does."""
    with pytest.raises(type(fault)):
        await running
    lease = await play.following_lease()
    assert isinstance(lease, LeaseInfo)
    again = asyncio.ensure_future(play.following.run(lease))
    await settle()
    return again


@each_fault
def test_messages_that_were_not_passed_on_are_marked_and_the_feed_goes_on(fault: Exception) -> None:
    async def main(play: Play) -> None:
        running = await attached(play)
        play.on_frame = Failing(fault, play.on_frame)  # type: ignore[method-assign]
        play.feed.add_batch(["one", "two"])
        await play.publish()
        again = await followed_again(play, running, fault)
        assert play.events == []
        play.feed.add_batch(["three"])
        await play.publish()
        await settle()
        gap, message = play.events
        assert (gap.gap.reason, gap.gap.missed, message) == (GapReason.OVERFLOW, 2, "three")
        await stopped(again)

    play(main)


def test_a_marker_that_was_not_passed_on_is_repeated_before_the_next_frame() -> None:
    async def main(play: Play) -> None:
        running = await attached(play)
        play.on_frame = Failing(MemoryError(), play.on_frame)  # type: ignore[method-assign]
        play.feed.add_gap(Gap(GapReason.OVERFLOW, 1, 3))
        await play.publish()
        again = await followed_again(play, running, MemoryError())
        play.feed.add_batch(["after"])
        await play.publish()
        await settle()
        gap, message = play.events
        assert (gap.gap.missed, message) == (3, "after")
        await stopped(again)

    play(main)


@each_fault
def test_the_beginning_and_the_end_of_an_epoch_are_read_again(fault: Exception) -> None:
    async def main(play: Play) -> None:
        running = await attached(play)
        play.on_leader_gone = Failing(fault, play.on_leader_gone)  # type: ignore[method-assign]
        await play.release()
        with pytest.raises(type(fault)):
            await running
        assert play.following.is_led
        await play.lead()
        play.feed.add_batch(["first of the next"])
        await play.publish()
        play.relay.begin_epoch = Failing(fault, play.relay.begin_epoch)  # type: ignore[method-assign]
        running = await play.follow()
        again = await followed_again(play, running, fault)
        await settle()
        assert play.events == ["gone", "first of the next"]
        await stopped(again)

    play(main)


@each_fault
def test_an_epoch_that_could_not_begin_within_it_begins_with_the_next_try(fault: Exception) -> None:
    async def main(play: Play) -> None:
        play.relay.begin_epoch = Failing(fault, play.relay.begin_epoch)  # type: ignore[method-assign]
        again = await followed_again(play, await play.follow(), fault)
        hello, _ = await play.submissions()
        assert getattr(hello, "ownership_id", None) == 0
        play.feed.add_for("b", [SnapshotAnswer(0, [])])
        play.feed.add_batch(["one"])
        await play.publish()
        await settle()
        assert play.events == [SnapshotAnswer(0, []), "one"]
        await stopped(again)

    play(main)


@each_fault
def test_a_state_that_could_not_be_asked_for_is_asked_for_with_the_next_try(fault: Exception) -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        await play.submissions()
        play.on_frame = Failing(fault, play.on_frame)  # type: ignore[method-assign]
        play.relay.leader_gone = Failing(fault, play.relay.leader_gone)  # type: ignore[method-assign]
        play.feed.add_for("b", [SnapshotAnswer(0, ["state"])])
        await play.publish()
        again = await followed_again(play, running, fault)
        hello, _ = await play.submissions()
        assert getattr(hello, "ownership_id", None) == 0
        await stopped(again)

    play(main)


@each_fault
def test_an_answer_that_fails_leaves_fates_unknown_and_the_member_introduces_itself_anew(fault: Exception) -> None:
    async def main(play: Play) -> None:
        running = await attached(play)
        play.send("one")
        await settle()
        await play.submissions()
        play.relay.on_results = Failing(fault, play.relay.on_results)  # type: ignore[method-assign]
        await play.answer(Results([], [(1, 1)]))
        again = await followed_again(play, running, fault)
        assert [error and error.__name__ for _, _, error in play.process.results] == ["DeliveryUnknown"]
        assert [type(frame).__name__ for frame in await play.submissions()] == ["Hello", "OutboxBounds"]
        await stopped(again)

    play(main)


@each_fault
def test_a_submission_that_fails_leaves_its_fate_unknown_and_the_next_ones_go_on(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(play: Play) -> None:
        running = await attached(play)
        with monkeypatch.context() as patch:
            patch.setattr(Submitter, "_encode", Failing(fault, Submitter._encode))
            play.send("one")
            again = await followed_again(play, running, fault)
        assert [error and error.__name__ for _, _, error in play.process.results] == ["DeliveryUnknown"]
        play.send("two")
        await settle()
        names = [type(frame).__name__ for frame in await play.submissions()]
        assert names == ["Hello", "OutboxBounds", "SendMessages"]
        await stopped(again)

    play(main)


def test_a_member_that_lost_the_state_of_the_leader_asks_for_it_again() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        await play.submissions()
        play.on_frame = Failing(MemoryError(), play.on_frame)  # type: ignore[method-assign]
        play.feed.add_for("b", [SnapshotAnswer(0, ["state"])])
        await play.publish()
        again = await followed_again(play, running, MemoryError())
        hello, _ = await play.submissions()
        assert getattr(hello, "ownership_id", None) == 0
        await stopped(again)

    play(main)


# --- a member that leads --------------------------------------------------------------------------------------------


@each_fault
def test_each_task_of_a_leader_goes_on(fault: Exception) -> None:
    async def main(leader: Leader) -> None:
        leadership = leader.leadership
        leadership.feed.take = Failing(fault, leadership.feed.take)  # type: ignore[method-assign]
        leadership._answer_next = Failing(fault, leadership._answer_next)  # type: ignore[method-assign]
        leader.submitted = Submitted(fault)
        running = asyncio.ensure_future(leader.run())
        leadership.feed.add_batch(["one"])
        leadership.wake()
        leadership.answer("c", b"answer")
        await leader.other.submit(Position(1, 1), b"lost")
        await leader.other.submit(Position(1, 2), b"taken")
        await asyncio.sleep(1)
        assert await leader.messages() == ["one"]
        assert [each.payload for each in leader.submitted] == [b"taken"]
        (answer,) = await leader.engine.open(KEY, "c").follow(Position(1, 1), START, 0)
        assert answer.payload == b"answer"
        await stopped(running)

    run_leader(main)


class Submitted(list[Any]):
    """The first submission fails."""

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self.append = Failing(fault, super().append)  # type: ignore[method-assign]


@each_fault
def test_a_renewal_that_can_not_be_told_is_one(fault: Exception) -> None:
    async def main(leader: Leader) -> None:
        leader.renewals = Submitted(fault)
        running = asyncio.ensure_future(leader.run())
        await asyncio.sleep(7)
        assert leader.renewals == [pytest.approx(6)]
        assert leader.leadership.may_send
        await stopped(running)

    run_leader(main)


def test_a_leader_whose_task_fails_again_and_again_lets_another_one_lead() -> None:
    async def main(leader: Leader) -> None:
        leader.leadership.feed.take = Failing(KeyError("bug"), len, 100)  # type: ignore[method-assign]
        with pytest.raises(KeyError):
            await leader.run()
        assert 1 < leader.now() < TTL

    run_leader(main)


@each_fault
def test_a_leader_that_can_not_publish_its_rest_releases_the_lease(fault: Exception) -> None:
    async def main(leader: Leader) -> None:
        leader.leadership.feed.take = Failing(fault, len)  # type: ignore[method-assign]
        await leader.leadership.finish(1.0)
        assert await leader.other.lease() is None
        assert not leader.leadership.may_send

    run_leader(main)


@each_fault
def test_a_leader_that_can_not_answer_leaves_the_lease_to_its_time(fault: Exception) -> None:
    async def main(leader: Leader) -> None:
        leadership = leader.leadership
        leadership.answer("b", b"a result")
        leadership._answer_next = Failing(fault, leadership._answer_next)  # type: ignore[method-assign]
        await leadership.finish(1.0)
        assert await leader.other.lease() is not None  # else what it has sent would be sent again
        assert not leadership.may_send

    run_leader(main)


@each_fault
def test_a_leader_that_can_not_publish_its_rest_answers(fault: Exception) -> None:
    async def main(leader: Leader) -> None:
        leader.leadership.answer("b", b"a result")
        leader.leadership.feed.take = Failing(fault, len)  # type: ignore[method-assign]
        await leader.leadership.finish(1.0)
        (answer,) = (each for each in await leader.other.follow(START, START, 0) if each.kind is RecordKind.ANSWER)
        assert answer.payload == b"a result"
        assert await leader.other.lease() is None

    run_leader(main)


# --- announcements --------------------------------------------------------------------------------------------------


@each_fault
def test_announcements_go_on(fault: Exception) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        describe = Failing(fault, lambda: (announcement("follower"), START))
        announcer = Announcer(engine.open(KEY, "a"), describe, TTL)
        announcer.begin()
        await asyncio.sleep(TTL)
        (view,) = await engine.observe("onesocket").look("")
        assert len(view.members) == 1
        await announcer.aclose()

    run_virtual(main)
