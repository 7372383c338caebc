"""Announcements of members, on virtual time: how often, how soon after a change, and how they end."""

from __future__ import annotations

import asyncio
import copy
import os

import pytest

from onesocket.errors import EngineUnavailable, TokenMismatch
from onesocket.sharing.cluster._announcements import (
    AnnouncedConnection,
    Announcement,
    Announcer,
    announcement,
    parse_announcement,
)
from onesocket.sharing.cluster._coordinator import NO_LAG, START, ClusterKey, Lag, Lease, Position
from onesocket.sharing.cluster._engine_model import EngineModel
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.testing import run_virtual

KEY = ClusterKey.of("0" * 64)
TTL = 9.0


class Announced:
    """A member "a" that announces itself, and the times at which it did."""

    def __init__(self) -> None:
        self.engine = MemoryEngine()
        self.engine.before = self._count
        self.times: list[float] = []
        self.part = "follower"
        self.announcer = Announcer(self.engine.open(KEY, "a"), lambda: (announcement(self.part), START), TTL)
        self.announcer.begin()

    def _count(self, member: str, operation: str) -> None:
        if (member, operation) == ("a", "announce"):
            self.times.append(asyncio.get_running_loop().time())

    async def parts(self) -> list[str]:
        """The parts that an observer sees."""
        views = await self.engine.observe("onesocket").look("")
        told = [parse_announcement(each.note) for view in views for each in view.members]
        return [each.part for each in told if each is not None]


def test_a_member_announces_itself_three_times_in_a_lease() -> None:
    async def main() -> None:
        case = Announced()
        await asyncio.sleep(10 * TTL - 1)
        assert await case.parts() == ["follower"]
        assert len(case.times) == 30
        await case.announcer.aclose()

    run_virtual(main)


def test_a_change_is_announced_at_once_and_many_are_bounded() -> None:
    async def main() -> None:
        case = Announced()
        await asyncio.sleep(TTL / 10)
        case.part = "leader"
        case.announcer.note("leads")
        case.announcer.note("leads")
        await asyncio.sleep(0.001)
        assert await case.parts() == ["leader"]
        assert len(case.times) == 2
        for number in range(1000):
            case.announcer.note(number)
            await asyncio.sleep(TTL / 1000)
        assert len(case.times) <= 2 + 30 + 1
        await case.announcer.aclose()

    run_virtual(main)


def test_a_member_that_leaves_is_forgotten_at_once_and_one_that_is_killed_after_a_lease() -> None:
    async def main() -> None:
        case = Announced()
        await asyncio.sleep(1)
        await case.announcer.aclose()
        assert await case.parts() == []
        killed = Announced()
        await asyncio.sleep(1)
        assert killed.announcer._running is not None
        killed.announcer._running.cancel()
        await asyncio.sleep(TTL - 1.1)
        assert await killed.parts() == ["follower"]
        await asyncio.sleep(0.2)
        assert await killed.parts() == []

    run_virtual(main)


def test_an_engine_that_is_away_delays_neither_a_member_nor_its_leaving() -> None:
    async def main() -> None:
        case = Announced()
        await asyncio.sleep(1)
        case.engine.is_available = False
        await asyncio.sleep(TTL)
        before = asyncio.get_running_loop().time()
        await case.announcer.aclose()
        assert asyncio.get_running_loop().time() == before
        case.engine.is_available = True
        again = Announcer(case.engine.open(KEY, "a"), lambda: (announcement("follower"), START), TTL)
        case.engine.before = lambda _member, _operation: _fail_once(case)
        again.begin()
        await asyncio.sleep(TTL / 2)
        assert await case.parts() == ["follower"]  # the next one is due soon
        await again.aclose()

    run_virtual(main)


def _fail_once(case: Announced) -> None:
    case.engine.before = None
    raise EngineUnavailable("away")


def test_an_announcement_names_process_and_error_and_no_text() -> None:
    error = TokenMismatch("another token than s3cret")
    told = announcement("follower", error, AnnouncedConnection("connected", 3))
    assert (told.pid, told.error) == (os.getpid(), "TokenMismatch")
    assert "s3cret" not in repr(told)


@pytest.mark.parametrize(
    "note", [b"", b"\xff", b"[]", b'{"host": 3}', b'{"host": "a", "pid": "x", "part": "y"}', b'"' + b"x" * 5000 + b'"']
)
def test_notes_of_others_are_none(note: bytes) -> None:
    assert parse_announcement(note) is None
    assert parse_announcement(b'{"host":"a","pid":1,"part":"leader","newer":1}') == Announcement("a", 1, "leader")


def test_an_announcement_changes_neither_lease_nor_feed() -> None:
    model = EngineModel()
    model.acquire("a", TTL, 0, 0.0)
    before = copy.deepcopy(vars(model))
    model.announce("b", b"note", Position(1, 0), TTL, 1.0)
    model.announce("a", b"note", START, TTL, 1.0)
    assert {name for name, value in vars(model).items() if value != before[name]} == {"_announced"}


def test_the_lag_is_that_of_the_feed_at_the_announcement() -> None:
    model = EngineModel(records=3)
    granted = model.acquire("a", TTL, 0, 0.0)
    assert isinstance(granted, Lease)
    for number in range(1, 6):
        model.publish("a", Position(1, number), b"x", 0, float(number))
    expected = {
        (1, 5): NO_LAG,
        (1, 4): Lag(1, 7 - 5),
        (1, 1): Lag(4, 7 - 3),  # the first two are not held any more
        (0, 0): None,
        (1, 6): None,
        (2, 0): None,
    }
    for position, lag in expected.items():
        assert model.announce("b", b"note", Position(*position), TTL, 7.0) == lag
    model.expire()
    model.acquire("b", TTL, 0, 20.0)
    assert model.announce("c", b"note", Position(1, 5), TTL, 21.0) == Lag(None, 1.0)
    assert [(each.member, each.remaining) for each in model.announced(21.0)] == [("c", TTL)]
