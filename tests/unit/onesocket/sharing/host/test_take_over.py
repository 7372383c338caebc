"""Take-overs from a stopped owner, interleaved with each other, with its end and with the removal of the files.

All in one process: each descriptor of a lock file, and each name of a socket, locks as another process's would.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onesocket.sharing.host._abstract_socket_lock import AbstractSocketLock
from onesocket.sharing.host._descriptor_reserve import DescriptorReserve
from onesocket.sharing.host._owner_files import OwnerFiles
from onesocket.sharing.host._owner_lock import LockState, OwnerLock
from onesocket.sharing.host._runtime_paths import RuntimePaths
from tests.support.host_locks import end_as_by_kill, keep

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no lock outlives its file")


@pytest.fixture
def place(tmp_path: Path) -> RuntimePaths:
    return RuntimePaths.of("key", str(tmp_path / "run"))


@pytest.fixture
def stopped(place: RuntimePaths) -> OwnerLock:
    """The lock of a stopped owner: it stays as it is."""
    lock = OwnerLock.acquire(place, keep)
    assert lock is not None
    lock.note(1)
    return lock


def sweep(place: RuntimePaths) -> None:
    """Remove the directory, and make it again, as the next process does."""
    shutil.rmtree(place.directory)
    place.ensure(again=True)


def before_new_file(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Let something happen once, when a take-over has found the owner stopped, and not yet made its own lock file."""
    unlink = Path.unlink
    pending = [happens]

    def unlink_later(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".new" and pending:
            pending.pop()()
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_later)


def test_of_two_that_take_over_one_does_though_the_files_go_in_between(
    place: RuntimePaths, stopped: OwnerLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a fence, as that of the first was removed with the directory."""
    second: list[OwnerLock | None] = []

    def other_takes_over() -> None:
        sweep(place)
        second.append(OwnerLock.take_over(place, stopped.ownership_id, keep))

    before_new_file(monkeypatch, other_takes_over)
    first = OwnerLock.take_over(place, stopped.ownership_id, keep)
    assert first is not None
    assert second == [None]
    assert first.is_ours()
    stopped.release()
    first.release()


def test_a_directory_that_goes_during_a_take_over_is_made_again(
    place: RuntimePaths, stopped: OwnerLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_new_file(monkeypatch, lambda: shutil.rmtree(place.directory))
    lock = OwnerLock.take_over(place, stopped.ownership_id, keep)
    assert lock is not None
    assert lock.is_ours()
    stopped.release()
    lock.release()


def test_a_successor_stays_the_only_one_while_its_files_are_gone(place: RuntimePaths, stopped: OwnerLock) -> None:
    second = OwnerLock.take_over(place, stopped.ownership_id, keep)
    assert second is not None
    sweep(place)
    assert OwnerLock.take_over(place, stopped.ownership_id, keep) is None  # by another of its followers
    assert stopped.restore(place) is LockState.LOST  # it goes on
    stopped.release()
    assert OwnerLock.acquire(place, keep) is None
    assert second.restore(place) is LockState.OURS
    second.release()


def test_of_a_take_over_and_the_next_owner_of_one_that_dies_meanwhile_the_first_wins(
    place: RuntimePaths, stopped: OwnerLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is the dead owner's for as long as the other has not replaced it."""
    found: list[OwnerLock | None] = []

    def dies() -> None:
        end_as_by_kill(stopped)
        found.append(OwnerLock.acquire(place, keep))

    before_new_file(monkeypatch, dies)
    lock = OwnerLock.take_over(place, stopped.ownership_id, keep)
    assert lock is not None
    assert found == [None]
    lock.release()


def test_of_the_next_owner_of_one_that_died_and_a_take_over_meanwhile_the_second_wins(
    place: RuntimePaths, stopped: OwnerLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that has the dead owner's file has not written to it yet."""
    end_as_by_kill(stopped)
    claim = AbstractSocketLock.claim
    found: list[OwnerLock | None] = []

    def claim_later(name: str) -> AbstractSocketLock | None:
        if not found:
            found.append(None)
            found[0] = OwnerLock.take_over(place, stopped.ownership_id, keep)
        return claim(name)

    monkeypatch.setattr(AbstractSocketLock, "claim", claim_later)
    assert OwnerLock.acquire(place, keep) is None
    (second,) = found
    assert second is not None
    assert second.is_ours()
    second.release()


def test_an_owner_that_is_replaced_is_asked_to_look_at_its_files(place: RuntimePaths, stopped: OwnerLock) -> None:
    """The owner may go on in that moment, and have looked at them just before."""
    second = OwnerLock.take_over(place, stopped.ownership_id, keep)
    assert second is not None
    assert stopped.notification_socket is not None
    stopped.notification_socket.accept()[0].close()
    stopped.release()
    second.release()


def test_a_successor_is_asked_to_look_once_the_stopped_owner_has_given_way(
    place: RuntimePaths, stopped: OwnerLock
) -> None:
    """A stopped owner whose files are removed is found at the lowest level alone."""
    successor = OwnerLock.take_over(place, stopped.ownership_id, keep)
    assert successor is not None
    assert successor.notification_socket is not None
    successor.notification_socket.settimeout(0)
    stopped.release()
    successor.notification_socket.accept()[0].close()  # else BlockingIOError
    before = successor.claim_lower_socket_lock()
    assert before is not None
    before.close()
    sweep(place)
    next_one = OwnerLock.take_over(place, successor.ownership_id, keep)
    assert next_one is not None
    successor.release()
    next_one.release()


def test_a_process_that_looks_while_there_is_no_file_makes_none(place: RuntimePaths, stopped: OwnerLock) -> None:
    """Its lock on a new file would be taken for that of an owner."""
    sweep(place)
    assert OwnerLock.acquire(place, keep, beside_stopped=True) is None
    assert not place.lock.exists()
    stopped.release()


def test_several_can_stop_one_after_the_other(place: RuntimePaths, stopped: OwnerLock) -> None:
    owners = [stopped]
    for _ in range(2):
        new = OwnerLock.take_over(place, owners[-1].ownership_id, keep)
        assert new is not None
        owners.append(new)
    assert [owner.restore(place) for owner in owners] == [LockState.LOST, LockState.LOST, LockState.OURS]
    for owner in owners:
        owner.release()


def test_the_successor_of_several_is_the_only_one_when_they_have_ended(place: RuntimePaths, stopped: OwnerLock) -> None:
    second = OwnerLock.take_over(place, stopped.ownership_id, keep)
    assert second is not None
    third = OwnerLock.take_over(place, second.ownership_id, keep)
    assert third is not None
    sweep(place)
    end_as_by_kill(second)
    assert stopped.restore(place) is LockState.LOST, "it goes on"
    end_as_by_kill(stopped)
    assert OwnerLock.acquire(place, keep) is None
    assert third.restore(place) is LockState.OURS
    third.release()


async def test_an_owner_takes_the_lock_of_a_stopped_one_when_that_has_gone(
    place: RuntimePaths, stopped: OwnerLock
) -> None:
    second = OwnerLock.take_over(place, stopped.ownership_id, keep)
    assert second is not None
    files = OwnerFiles(
        second, DescriptorReserve(), accepted=lambda _: None, exhausted=lambda _: None, check=lambda: None
    )
    files.start()
    before = second.notification_socket
    beside_stopped: list[bool] = []
    for _ in range(2):
        assert files.restore_missing()
        beside_stopped.append(second.is_beside_stopped)
        stopped.release()
    assert beside_stopped == [True, False]
    assert before is not None
    assert before.fileno() < 0
    assert second.notification_socket is not None
    assert second.notification_socket.getsockname() == place.socket_lock_name.encode()
    # It may stop as well: the lock that it had before is free for its successor.
    third = OwnerLock.take_over(place, second.ownership_id, keep)
    assert third is not None
    assert not files.restore_missing()
    files.release(is_followed=True)
    third.release()
