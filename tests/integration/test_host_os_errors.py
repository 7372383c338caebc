"""Refusals of the operating system on the way to a shared connection: typed, and final for no process that was in."""

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import OnesocketError, ReconnectPolicy, State
from onesocket.errors import ManuallyDisconnected
from onesocket.sharing.host import NoRuntimeDirectory, OutOfResources
from onesocket.sharing.host._follower import Follower
from onesocket.sharing.host._owner_files import OwnerFiles
from onesocket.sharing.host._owner_lock import OwnerLock
from onesocket.sharing.host._owner_record import OwnerRecord
from onesocket.sharing.host._runtime_paths import translate_os_error
from onesocket.testing import FaultyServer
from tests.support.host_processes import make_upstream

ERRORS = [
    (errno.EMFILE, OutOfResources),
    (errno.ENFILE, OutOfResources),
    (errno.ENOSPC, OutOfResources),
    (errno.EROFS, NoRuntimeDirectory),
    (errno.EACCES, NoRuntimeDirectory),
    (errno.ENOENT, NoRuntimeDirectory),
]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(echo=False) as running:
        yield running


def fail_opens(monkeypatch: pytest.MonkeyPatch, number: int, times: int) -> asyncio.Event:
    """The lock can't be opened so often; the event is set when that is over."""
    acquire, left, is_over = OwnerLock.acquire, iter(range(times)), asyncio.Event()

    def refuses(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            is_over.set()
        else:
            raise translate_os_error(OSError(number, os.strerror(number)), "the lock can't be opened")
        return acquire(*arguments, **options)

    monkeypatch.setattr(OwnerLock, "acquire", refuses)
    return is_over


@pytest.mark.parametrize(("number", "kind"), ERRORS)
async def test_whoever_was_in_tries_again_by_the_policy(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[OnesocketError]
) -> None:
    owner, _ = make_upstream(server.url, tmp_path / "run")
    follower, sink = make_upstream(server.url, tmp_path / "run")
    await owner.connect()
    await follower.connect()
    sink.states.clear()
    is_over = fail_opens(monkeypatch, number, 5)
    await owner.aclose()
    await sink.until_state(State.CONNECTED)
    assert is_over.is_set()
    assert State.BACKING_OFF in sink.states
    assert State.FAILED not in sink.states
    assert sink.failures == []
    await follower.send("still works")
    await server.wait_until(lambda counts: counts.messages_received == 1)
    assert not isinstance(follower.status.last_error, kind)
    await follower.aclose()
    assert server.counts.most_sockets == 1


@pytest.mark.parametrize(("number", "kind"), ERRORS)
async def test_a_first_connect_raises_it_and_the_next_may_work(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[OnesocketError]
) -> None:
    upstream, sink = make_upstream(server.url, tmp_path / "run")
    fail_opens(monkeypatch, number, 1)
    with pytest.raises(kind, match=os.strerror(number)) as caught:
        await upstream.connect()
    assert caught.value.retryable is (kind is OutOfResources)
    assert sink.states == [State.FAILED]
    await upstream.connect()
    assert server.counts.handshakes == 1
    await upstream.aclose()


@pytest.mark.parametrize("policy", [None, ReconnectPolicy(initial=0.001, max_attempts=2)])
async def test_without_a_further_attempt_in_the_policy_it_ends_until_somebody_asks(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: ReconnectPolicy | None
) -> None:
    owner, _ = make_upstream(server.url, tmp_path / "run")
    follower, sink = make_upstream(server.url, tmp_path / "run", policy)
    await owner.connect()
    await follower.connect()
    sink.states.clear()
    fail_opens(monkeypatch, errno.EMFILE, 1000)
    await owner.aclose()
    await sink.until_state(State.FAILED)
    assert [type(error) for error in sink.failures] == [OutOfResources]
    monkeypatch.undo()
    await follower.connect()
    await follower.aclose()


async def test_a_stop_stays_a_stop(server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, _ = make_upstream(server.url, tmp_path / "run")
    follower, sink = make_upstream(server.url, tmp_path / "run")
    await owner.connect()
    await follower.connect()
    sink.states.clear()
    await follower.disconnect()
    is_over = fail_opens(monkeypatch, errno.EMFILE, 5)
    await owner.aclose()
    await asyncio.wait_for(is_over.wait(), 10)
    with pytest.raises(ManuallyDisconnected):
        await follower.send("no")
    assert sink.states[-1] is State.STOPPED
    await follower.reconnect()
    assert server.counts.handshakes == 2
    await follower.aclose()


async def test_somebody_who_asks_does_not_wait_for_the_date(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _ = make_upstream(server.url, tmp_path / "run")
    follower, sink = make_upstream(server.url, tmp_path / "run", ReconnectPolicy(initial=3600.0, cap=3600.0))
    await owner.connect()
    await follower.connect()
    sink.states.clear()
    fail_opens(monkeypatch, errno.EMFILE, 2)  # the first attempt after a loss is made at once
    await owner.aclose()
    await sink.until_state(State.BACKING_OFF)
    async with asyncio.timeout(10):
        while sink.states[-1] is not State.CONNECTED:
            try:
                await follower.connect()
            except OutOfResources:
                await asyncio.sleep(0)
    assert sink.states.count(State.CONNECTED) == 1
    await follower.aclose()


async def test_a_socket_that_cannot_be_bound_is_tried_again(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _ = make_upstream(server.url, tmp_path / "run")
    follower, sink = make_upstream(server.url, tmp_path / "run")
    await owner.connect()
    await follower.connect()
    sink.states.clear()
    start, tries = OwnerFiles.start, list[int]()

    def full(self: OwnerFiles) -> None:
        tries.append(1)
        if len(tries) < 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        start(self)

    monkeypatch.setattr(OwnerFiles, "start", full)
    await owner.aclose()
    await sink.until_state(State.CONNECTED)
    assert len(tries) == 4
    await follower.aclose()
    assert server.counts.most_sockets == 1


async def test_an_owner_that_left_in_order_and_lives_on_is_not_waited_for(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _ = make_upstream(server.url, tmp_path / "run")
    follower, sink = make_upstream(server.url, tmp_path / "run")
    await owner.connect()
    await follower.connect()
    sink.states.clear()
    waited: list[OwnerRecord] = []

    def is_gone(record: OwnerRecord) -> bool:
        waited.append(record)
        return True

    monkeypatch.setattr(OwnerRecord, "is_gone", is_gone)
    shutil.rmtree(tmp_path / "run")  # and the lock file with it, which would say so
    await owner.aclose()
    await sink.until_state(State.CONNECTED)
    assert waited == []
    await follower.aclose()
    assert server.counts.most_sockets == 1


@pytest.mark.parametrize("step", [(OwnerLock, "acquire"), (Follower, "__init__"), (OwnerFiles, "start")])
async def test_a_step_for_which_there_is_no_memory_is_tried_again(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[type, str]
) -> None:
    owner, _ = make_upstream(server.url, tmp_path / "run")
    await owner.connect()
    other, sink = make_upstream(server.url, tmp_path / "run")
    if step[0] is not Follower:
        await other.connect()
    original, left = getattr(*step), iter(range(2))

    def fails(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is not None:
            raise MemoryError
        return original(*arguments, **options)

    monkeypatch.setattr(*step, fails)
    if step[0] is Follower:
        for _ in range(2):
            with pytest.raises(OutOfResources):
                await other.connect()
        await other.connect()
    else:
        await owner.aclose()
        await sink.until(lambda: other.is_owner and other.status.state is State.CONNECTED)
    await other.aclose()
    await owner.aclose()
