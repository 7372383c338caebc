"""Two members of one process: what tells them apart, and how one lets go in place of its event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from onesocket import State
from onesocket.sharing.host._follower_connection import FollowerConnection
from onesocket.sharing.host._next_owner import find_next_owner
from onesocket.sharing.host._owner_lock import LockState, OwnerLock
from onesocket.sharing.host._owner_record import OwnerRecord
from onesocket.sharing.host._runtime_paths import RuntimePaths
from onesocket.testing import FaultyServer
from tests.support.host_processes import make_upstream


@pytest.fixture
def paths(tmp_path: Path) -> RuntimePaths:
    return RuntimePaths.of("key", str(tmp_path / "run"))


@pytest.fixture
def locks() -> Iterator[list[OwnerLock]]:
    kept: list[OwnerLock] = []
    yield kept
    for lock in kept:
        lock.release()


async def test_a_lock_excludes_the_other_member_of_its_process(paths: RuntimePaths, locks: list[OwnerLock]) -> None:
    first = OwnerLock.acquire(paths, locks.append)
    assert first is not None
    await first.predecessor_gone()
    assert OwnerLock.acquire(paths, locks.append) is None
    first.note_newer(7)
    first.release()
    second = OwnerLock.acquire(paths, locks.append)
    assert second is not None
    assert second.predecessor is not None
    assert second.predecessor.epoch == 7


async def test_a_lock_that_is_surrendered_is_free_after_its_sockets_and_lost_to_its_owner(
    paths: RuntimePaths, locks: list[OwnerLock]
) -> None:
    first = OwnerLock.acquire(paths, locks.append)
    assert first is not None
    await first.predecessor_gone()
    first.note(3)
    here, there = socket.socketpair()
    with here, there:
        assert first.surrender(lambda: [here.fileno()])
        assert not first.surrender(lambda: [there.fileno()]), "once"
        assert there.recv(1) == b"", "the other end notices"
        record = OwnerRecord.read_at(paths.lock)
        assert record is not None
        assert (record.pid, record.epoch) == (0, 3), "so the next owner waits for no process"
        second = OwnerLock.acquire(paths, locks.append)
        assert second is not None
        await second.predecessor_gone()
        assert first.restore(paths) is LockState.LOST
        assert first.claim_lower_socket_lock() is None
        assert not first.is_ours()
        first.release()
        assert OwnerRecord.read_at(paths.lock) != record, "the file is the next owner's"
        assert second.is_ours()


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server


async def test_an_owner_that_is_broken_off_follows_the_next_one(server: FaultyServer, tmp_path: Path) -> None:
    first, first_sink = make_upstream(server.url, tmp_path / "run")
    other, other_sink = make_upstream(server.url, tmp_path / "run")
    followed: list[bool] = []
    tasks: list[asyncio.Task[object]] = []
    first.live_with(tasks.append, lambda: followed.append(first.is_wanted))
    await first.connect()
    await other.connect()
    assert followed == [False, True]
    assert tasks
    goes_on = await asyncio.to_thread(first.break_off)
    await other_sink.until(lambda: other.is_owner and other.status.state is State.CONNECTED)
    goes_on()
    await first_sink.until(lambda: not first.is_owner and first.status.epoch == 2 and bool(first_sink.gaps))
    await first.send("x")
    await first_sink.until(lambda: first_sink.received == ["x"])
    assert (len(first_sink.gaps), len(other_sink.gaps)) == (1, 1)
    assert State.CLOSED not in first_sink.states
    assert not followed[-1]
    await first.aclose()
    await other.aclose()
    assert server.counts.most_sockets == 1


def test_the_next_owner_is_of_another_process_if_there_is_one() -> None:
    mine, others = (object.__new__(FollowerConnection) for _ in range(2))
    for follower, pid in ((mine, os.getpid()), (others, os.getpid() + 1)):
        follower.is_write_paused, follower.peer_pid = False, pid
        follower.own = "allow"  # type: ignore[assignment]
    assert find_next_owner([mine, others]) is others
    assert find_next_owner([mine]) is mine
