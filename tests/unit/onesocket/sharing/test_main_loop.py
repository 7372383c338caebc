"""The loop of the main thread: whether it has ended, as another thread sees it, and which connections live there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, DurableOutbox, Json, Rotation
from onesocket.protocols import Acknowledgement
from onesocket.sharing import _main_loop as main_loop
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.sharing._main_loop import MainLoop
from onesocket.testing import MemoryServer

URL = "ws://feed.test/"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(main_loop, "time", clock)
    return clock


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def on_end(_: MainLoop) -> None: ...


async def made() -> MainLoop:
    return MainLoop(asyncio.get_running_loop(), on_end)


def test_a_loop_that_stands_still_for_long_has_ended(runner: asyncio.Runner, clock: Clock) -> None:
    loop = runner.run(made())
    assert not loop.has_ended()
    clock.now = 0.9
    assert not loop.has_ended()
    clock.now = 1.0
    assert loop.has_ended()


def test_a_loop_that_is_run_in_slices_has_not_ended(runner: asyncio.Runner, clock: Clock) -> None:
    loop = runner.run(made())
    for _ in range(10):
        assert not loop.has_ended()
        clock.now += 0.9
        runner.run(asyncio.sleep(0))


def test_a_loop_that_runs_a_slice_just_when_it_is_looked_at_has_not_ended(
    runner: asyncio.Runner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = runner.run(made())
    post_soon = loop.loop_inbox.post_soon

    def post_and_run(*call: Any) -> bool:
        is_taken = post_soon(*call)
        runner.run(asyncio.sleep(0))
        return is_taken

    monkeypatch.setattr(loop.loop_inbox, "post_soon", post_and_run)
    for clock.now in (0.0, 1.0, 2.0):
        assert not loop.has_ended()


def test_a_loop_that_runs_or_is_closed(clock: Clock) -> None:
    async def looks() -> MainLoop:
        loop = await made()
        for clock.now in (1.0, 2.0, 3.0):
            assert not await asyncio.to_thread(loop.has_ended)
        return loop

    assert asyncio.run(looks()).has_ended()


def test_its_end_is_told_once_and_not_of_one_that_was_released() -> None:
    ends: list[MainLoop] = []

    async def note(loop: MainLoop) -> None:
        await asyncio.sleep(0)
        ends.append(loop)

    async def main(*, releases: bool) -> MainLoop:
        loop = MainLoop(asyncio.get_running_loop(), note)
        if releases:
            loop.release()
        return loop

    assert [asyncio.run(main(releases=False))] == ends
    asyncio.run(main(releases=True))
    assert len(ends) == 1


def test_what_is_bound_to_a_loop_does_not_move(tmp_path: Path) -> None:
    acknowledgement = Acknowledgement(id_of=lambda message: message["id"], acknowledged_by=lambda _: None)
    bound: list[dict[str, Any]] = [
        {"transport": MemoryServer().transport()},
        {"rotation": Rotation(identity=lambda message: message)},
        {"protocol": Json(acknowledges=acknowledgement), "outbox": DurableOutbox(tmp_path / "outbox")},
    ]
    assert [ClientUpstream(Client(URL, **options), is_own=True).can_move for options in ({}, *bound)] == [
        True,
        False,
        False,
        False,
    ]
    assert not ClientUpstream(Client(URL)).can_move, "a client of the program's own"


def test_a_loop_that_stands_still_is_told_from_a_process_that_did(runner: asyncio.Runner, clock: Clock) -> None:
    loop = runner.run(made())
    assert not loop.stands_still(0.5)
    clock.now += 10.0
    assert not loop.stands_still(0.5), "whoever looks stood still as well"
    clock.now += 0.5
    assert loop.stands_still(0.5)
    runner.run(asyncio.sleep(0))
    assert not loop.stands_still(0.5)


def test_a_loop_that_is_blocked_stands_still_later_than_one_that_has_stopped(clock: Clock) -> None:
    async def looks() -> list[bool]:
        loop = await made()
        found = []
        for clock.now in (0.0, 1.0, 2.0, 3.0):  # without a turn in between
            found.append(loop.stands_still(1.0))
        await asyncio.sleep(0)
        return [*found, loop.stands_still(1.0)]

    assert asyncio.run(looks()) == [False, False, False, True, False]


def test_a_closed_loop_stands_still(clock: Clock) -> None:
    assert asyncio.run(made()).stands_still(1.0)
    assert clock.now == 0.0
