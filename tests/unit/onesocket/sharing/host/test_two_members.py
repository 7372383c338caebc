"""Two members of one process: what tells them apart, and how one lets go in place of its event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import State
from onesocket import _forking as forking
from onesocket.sharing.host import _owner_lock as owner_lock
from onesocket.sharing.host._follower_connection import FollowerConnection
from onesocket.sharing.host._next_owner import find_next_owner
from onesocket.sharing.host._owner_lock import LockState, OwnerLock
from onesocket.sharing.host._owner_record import OwnerRecord
from onesocket.sharing.host._runtime_paths import RuntimePaths
from onesocket.testing import Fault, FaultyServer
from onesocket.transports import _tcp as tcp
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


async def test_an_owner_that_is_deposed_in_the_midst_of_a_record_leaves_none_that_is_waited_for(
    paths: RuntimePaths, locks: list[OwnerLock], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = OwnerLock.acquire(paths, locks.append)
    assert lock is not None
    await lock.predecessor_gone()
    release = forking.replace_with_null_device

    def release_late(descriptors: Iterable[int]) -> None:
        lock.note(7)  # the event loop goes on just now, and has a new connection
        release(descriptors)

    monkeypatch.setattr(owner_lock, "replace_with_null_device", release_late)
    assert lock.surrender(tuple)
    record = OwnerRecord.read_at(paths.lock)
    assert record is not None
    assert record.pid == 0


async def test_a_lock_that_is_surrendered_just_now_is_not_restored(
    paths: RuntimePaths, locks: list[OwnerLock], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = OwnerLock.acquire(paths, locks.append)
    assert lock is not None
    await lock.predecessor_gone()
    monkeypatch.setattr(lock, "is_ours", lambda: not lock.surrender(tuple))
    assert lock.restore(paths) is LockState.LOST
    assert OwnerLock.acquire(paths, locks.append) is not None


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


async def test_an_owner_that_is_broken_off_does_not_have_the_connection_back_as_it_prefers(
    server: FaultyServer, tmp_path: Path
) -> None:
    first, first_sink = make_upstream(server.url, tmp_path / "run", host={"own": "prefer"})
    other, _ = make_upstream(server.url, tmp_path / "run")
    await first.connect()
    goes_on = await asyncio.to_thread(first.break_off)
    await other.connect()
    goes_on()
    await first_sink.until(lambda: not first.is_owner and first.status.state is State.CONNECTED)
    await first.send("x")
    assert other.is_owner
    assert server.counts.tcp_accepted == 2
    await first.aclose()
    await other.aclose()


async def test_a_dial_under_way_of_an_owner_that_is_broken_off_connects_no_socket(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, first_sink = make_upstream(server.url, tmp_path / "run")
    await first.connect()
    looked_up, goes_on = asyncio.Event(), asyncio.Event()
    look_up = tcp._address_infos

    async def look_up_slowly(*address: Any) -> Any:
        if not looked_up.is_set():  # those of the next owner are quick
            looked_up.set()
            await goes_on.wait()
        return await look_up(*address)

    monkeypatch.setattr(tcp, "_address_infos", look_up_slowly)
    server.kill_connections()
    await looked_up.wait()
    restored = await asyncio.to_thread(first.break_off)
    other, other_sink = make_upstream(server.url, tmp_path / "run")
    await other.connect()
    assert other.is_owner
    goes_on.set()  # in the turn in which the loop goes on, before it hears that it has lost the connection
    await first_sink.until(lambda: not first.is_owner and first.status.state is State.CONNECTED)
    restored()
    await first.send("x")
    await other_sink.until(lambda: other_sink.received == ["x"])
    assert server.counts.tcp_accepted == 2
    assert State.FAILED not in first_sink.states
    await first.aclose()
    await other.aclose()


async def test_an_owner_that_is_broken_off_waits_for_no_answer_to_its_upgrade(
    server: FaultyServer, tmp_path: Path
) -> None:
    first, first_sink = make_upstream(server.url, tmp_path / "run")
    await first.connect()
    server.faults = Fault(upgrade_release=asyncio.Event())
    server.kill_connections()
    await server.wait_until(lambda counts: counts.handshakes == 2)
    goes_on = await asyncio.to_thread(first.break_off)
    server.faults = None
    other, _ = make_upstream(server.url, tmp_path / "run")
    await other.connect()
    goes_on()
    async with asyncio.timeout(5):  # half of open_timeout
        await first_sink.until(lambda: not first.is_owner and first.status.state is State.CONNECTED)
    assert server.counts.most_sockets == 1
    await first.aclose()
    await other.aclose()


async def test_a_loop_that_no_thread_watches_yet_is_offered_with_each_heartbeat(
    server: FaultyServer, tmp_path: Path
) -> None:
    first, _ = make_upstream(server.url, tmp_path / "run", host={"heartbeat": 0.01})
    other, _ = make_upstream(server.url, tmp_path / "run")
    offered: asyncio.Queue[bool] = asyncio.Queue()
    first.live_with(id, lambda: offered.put_nowait(first.needs_watch))
    await first.connect()
    await other.connect()
    async with asyncio.timeout(10):
        while not await offered.get():
            pass
        assert [await offered.get(), await offered.get()] == [True, True]
        await other.aclose()
        while await offered.get():
            pass
    await first.aclose()


async def test_messages_go_out_though_ctrl_c_interrupted_the_end_of_a_turn(
    server: FaultyServer, tmp_path: Path
) -> None:
    owner, _ = make_upstream(server.url, tmp_path / "run")
    follower, _ = make_upstream(server.url, tmp_path / "run")
    await owner.connect()
    await follower.connect()
    messages = follower._operations._messages
    messages._flush_due = asyncio.get_running_loop().time() - 2  # of a call that was never made
    async with asyncio.timeout(10):
        await asyncio.gather(*(follower.send(text) for text in "abc"))
    assert messages._flush_due < 0
    await follower.aclose()
    await owner.aclose()


def test_the_next_owner_is_of_another_process_if_there_is_one() -> None:
    mine, others = (object.__new__(FollowerConnection) for _ in range(2))
    for follower, pid in ((mine, os.getpid()), (others, os.getpid() + 1)):
        follower.is_write_paused, follower.peer_pid = False, pid
        follower.own = "allow"  # type: ignore[assignment]
    assert find_next_owner([mine, others]) is others
    assert find_next_owner([mine]) is mine
