"""The owner's lock as one process sees it: who has it, and what is known of the owner when its file is gone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from onesocket.sharing.host._owner_record import OwnerRecord
from onesocket.sharing.host._process_lock import ProcessLock
from onesocket.sharing.host._runtime_paths import RuntimePaths


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[ProcessLock]]:
    made = [ProcessLock(RuntimePaths.of("key", str(tmp_path / "run")), takes_over=False) for _ in range(3)]
    yield made
    for process in made:
        process.release()


async def own(process: ProcessLock) -> None:
    """Take the lock, and write who has it."""
    assert process.acquire()
    assert process.held is not None
    await process.held.predecessor_gone()


async def test_one_process_has_the_lock_and_the_others_notice_a_change(processes: list[ProcessLock]) -> None:
    first, second, third = processes
    await own(first)
    assert list(first.descriptors())
    assert not second.acquire()
    assert not list(second.descriptors())
    second.see_owner()
    assert not second.has_other_owner()
    first.release()
    assert first.held is None
    assert not second.has_other_owner()  # no process has it
    await own(third)
    assert second.has_other_owner()
    second.see_owner()
    assert not second.has_other_owner()


def test_the_owner_that_is_known_is_waited_for_when_its_file_is_gone(processes: list[ProcessLock]) -> None:
    first, second, third = processes
    record = OwnerRecord.of(os.getpid(), 4)
    for process in processes:
        process.note_owner(1, record)
    assert first.acquire()
    assert first.held is not None
    assert first.held.predecessor is record
    first.release()
    second.paths.lock.unlink()
    second.forget_owner()  # it has closed its connection
    assert second.acquire()
    assert second.held is not None
    assert second.held.predecessor is None
    assert not third.acquire()
