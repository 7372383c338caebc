"""The directory, the lock, and who may have it."""

import asyncio
import errno
import fcntl
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest

from onesocket import _forking as forking
from onesocket.errors import InvalidOption, OutOfResources
from onesocket.sharing.host import HostOptions, NoRuntimeDirectory, OnStopped, _owner_lock, listing
from onesocket.sharing.host._descriptor_reserve import DescriptorReserve
from onesocket.sharing.host._owner_files import OwnerFiles
from onesocket.sharing.host._owner_lock import LockState, OwnerLock, ownership_id_of
from onesocket.sharing.host._owner_record import OwnerRecord
from onesocket.sharing.host._process_stat import ExecWatch, ProcessStat
from onesocket.sharing.host._runtime_paths import RUNTIME_DIR_VARIABLE, RuntimePaths, runtime_directory
from tests.support.host_locks import end_as_by_kill, keep

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")


@pytest.fixture
def place(tmp_path: Path) -> RuntimePaths:
    return RuntimePaths.of("key", str(tmp_path / "run"))


def test_the_directory_is_made_for_us_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUNTIME_DIR_VARIABLE, raising=False)
    base = tmp_path / "xdg"
    base.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    found = runtime_directory()
    assert found == base / "onesocket"
    assert found.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv(RUNTIME_DIR_VARIABLE, str(tmp_path / "named"))
    assert runtime_directory() == tmp_path / "named"
    assert runtime_directory(str(tmp_path / "given")) == tmp_path / "given"


@pytest.mark.parametrize("kind", ["open", "link", "file", "nowhere"])
def test_a_directory_that_is_not_safe_is_refused_with_a_remedy(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run"
    match kind:
        case "open":
            path.mkdir()
            path.chmod(0o750)
        case "link":
            (tmp_path / "other").mkdir(mode=0o700)
            path.symlink_to(tmp_path / "other")
        case "file":
            path.touch()
        case _:
            path = tmp_path / "a" / "b"
    with pytest.raises(NoRuntimeDirectory, match=f"(?s){path}.*{RUNTIME_DIR_VARIABLE}"):
        runtime_directory(str(path))


def test_a_path_that_is_none_is_refused_with_a_remedy() -> None:
    with pytest.raises(NoRuntimeDirectory, match=RUNTIME_DIR_VARIABLE):
        runtime_directory("run\0")


def test_the_directory_stays_when_the_program_goes_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert runtime_directory("run") == tmp_path / "run"


def test_names_tell_nothing(tmp_path: Path) -> None:
    one, other = (RuntimePaths.of(key, str(tmp_path / "run")) for key in ("wss://x/?token=secret", "b"))
    assert one.name != other.name
    assert one.name.isalnum()
    assert "secret" not in str(one.socket)


def test_a_path_that_is_too_long_for_a_socket_is_reached_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    place = RuntimePaths.of("key", str(deep))
    with place.opened() as directory:
        if sys.platform != "linux":
            with pytest.raises(NoRuntimeDirectory, match="too long"):
                place.socket_address(directory)
            return
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(place.socket_address(directory))
            server.listen()
            client.connect(place.socket_address(directory))
        assert place.socket.exists()


def test_one_holder_even_within_a_process(place: RuntimePaths) -> None:
    first = OwnerLock.acquire(place, keep)
    assert first is not None
    assert OwnerLock.acquire(place, keep) is None
    first.release()
    first.release()
    second = OwnerLock.acquire(place, keep)
    assert second is not None
    second.release()


def test_a_link_in_the_place_of_the_lock_is_not_followed(place: RuntimePaths, tmp_path: Path) -> None:
    place.lock.symlink_to(tmp_path / "target")
    with pytest.raises(NoRuntimeDirectory):
        OwnerLock.acquire(place, keep)
    assert not (tmp_path / "target").exists()


def no_descriptor(*_: object) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_taken_over_lock_is_no_longer_the_old_owners(place: RuntimePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    old = OwnerLock.acquire(place, keep)
    assert old is not None
    old.note(41)
    assert old.is_ours()
    assert OwnerLock.take_over(place, old.ownership_id + 1, keep) is None  # not the owner that was seen
    place.socket.touch()  # where the old one listens, and nobody answers
    new = OwnerLock.take_over(place, old.ownership_id, keep)
    assert new is not None
    assert not place.socket.exists()
    assert OwnerLock.take_over(place, old.ownership_id, keep) is None  # somebody was quicker
    assert not old.is_ours()
    assert new.is_ours()
    assert old.restore(place) is LockState.LOST
    with monkeypatch.context() as without:
        without.setattr(os, "open", no_descriptor)
        assert old.restore(place) is LockState.LOST
    assert new.predecessor is not None
    assert new.predecessor.epoch == 41
    old.release()
    assert OwnerLock.acquire(place, keep) is None
    new.release()


def test_epochs_in_a_lock_file_only_grow(place: RuntimePaths, tmp_path: Path) -> None:
    """Also by owners that no process follows, or that fail to begin: a stopped process may know theirs."""
    for epoch, newest in ((0, 0), (7, 7), (3, 7), (0, 7)):
        lock = OwnerLock.acquire(place, keep)
        assert lock is not None
        lock.note_newer(epoch)
        lock.release()
        again = OwnerLock.acquire(place, keep)
        assert again is not None
        assert again.predecessor is not None
        assert again.predecessor.epoch == newest
        again.release()
    other = RuntimePaths.of("key", str(tmp_path / "other"))
    moved = OwnerLock.acquire(other, keep)
    assert moved is not None
    moved.note(2)
    assert moved.restore(place) is LockState.OURS
    moved.note(3)
    moved.release()
    last = OwnerLock.acquire(place, keep)
    assert last is not None
    assert last.predecessor is not None
    assert last.predecessor.epoch == 7
    last.release()


def test_a_take_over_from_an_owner_that_died_meanwhile_comes_too_late(place: RuntimePaths) -> None:
    stopped = OwnerLock.acquire(place, keep)
    assert stopped is not None
    stopped.note(1)
    end_as_by_kill(stopped)
    next_owner = OwnerLock.acquire(place, keep)  # which has not written its own record yet
    assert next_owner is not None
    assert OwnerLock.take_over(place, stopped.ownership_id, keep) is None
    assert next_owner.is_ours()
    next_owner.release()


@pytest.mark.parametrize("is_made", [False, True])
def test_a_stopped_owner_whose_file_was_removed_can_be_taken_over_from(place: RuntimePaths, is_made: bool) -> None:
    stopped = OwnerLock.acquire(place, keep)
    assert stopped is not None
    stopped.note(1)
    shutil.rmtree(place.directory)
    place.ensure(again=True)
    if is_made:  # by a process that joins, and looks whether it is free
        with place.lock.open("w") as newcomer:
            fcntl.flock(newcomer, fcntl.LOCK_EX)
            assert OwnerLock.take_over(place, stopped.ownership_id, keep) is None
    second = OwnerLock.take_over(place, stopped.ownership_id, keep)
    assert second is not None
    assert OwnerLock.take_over(place, stopped.ownership_id, keep) is None
    assert stopped.restore(place) is LockState.LOST
    stopped.release()
    second.release()


async def test_a_process_that_gives_the_lock_up_leaves_the_wait_for_its_predecessor_to_the_next(
    place: RuntimePaths,
) -> None:
    dying = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    place.lock.write_text(str(OwnerRecord.of(dying.pid, 3, 7)))  # it has released the lock, and not yet its sockets
    for _ in range(2):
        lock = OwnerLock.acquire(place, keep)
        assert lock is not None
        assert lock.predecessor is not None
        assert (lock.predecessor.pid, lock.predecessor.epoch) == (dying.pid, 3)
        assert not lock.predecessor.is_gone()
        lock.release()
    await dying.communicate(b"\n")
    lock = OwnerLock.acquire(place, keep)
    assert lock is not None
    await lock.predecessor_gone()
    lock.release()
    assert place.lock.read_text().split()[:3] == ["0", "-", "3"]


def test_who_reads_the_id_of_a_new_owner_can_no_longer_reach_the_stopped_one(
    place: RuntimePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = OwnerLock.acquire(place, keep)
    assert old is not None
    old.note(41)
    place.socket.touch()
    seen: list[tuple[bool, bool]] = []

    def look(is_old: bool) -> None:
        seen.append((is_old, place.socket.exists()))

    def rename(path: Path, target: Path) -> None:
        look(ownership_id_of(place.lock) == old.ownership_id)
        os.rename(path, target)  # noqa: PTH104 - the one that is replaced here
        look(ownership_id_of(place.lock) == old.ownership_id)

    with monkeypatch.context() as watched:
        watched.setattr(Path, "rename", rename)
        new = OwnerLock.take_over(place, old.ownership_id, keep)
    assert new is not None
    assert seen == [(True, False), (False, False)]
    old.release()
    new.release()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is one lock")
@pytest.mark.parametrize("is_told", [True, False])
def test_what_a_stopped_owner_still_has_keeps_out_only_processes_that_wait_for_it(
    place: RuntimePaths, is_told: bool
) -> None:
    stopped = OwnerLock.acquire(place, keep)
    assert stopped is not None
    stopped.note(1)
    second = OwnerLock.take_over(place, stopped.ownership_id, keep)
    for _ in range(2):
        assert second is not None
        if is_told:
            second.release()
        else:
            end_as_by_kill(second)
        assert OwnerLock.acquire(place, keep) is None
        second = OwnerLock.acquire(place, keep, beside_stopped=True)
    assert second is not None
    stopped.release()
    second.release()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is one lock")
def test_a_lock_that_was_completed_is_no_longer_one_beside_a_stopped_owner(place: RuntimePaths) -> None:
    stopped = OwnerLock.acquire(place, keep)
    assert stopped is not None
    stopped.note(1)
    second = OwnerLock.take_over(place, stopped.ownership_id, keep)
    assert second is not None
    stopped.release()
    before = second.claim_lower_socket_lock()
    assert before is not None
    before.close()
    record = place.lock.read_bytes()
    place.lock.unlink()
    place.lock.write_bytes(record)  # another file of that name, as after a restart of the directory's file system
    assert OwnerLock.acquire(place, keep, beside_stopped=True) is None
    second.release()


@pytest.mark.parametrize("what", ["lock", "directory", "parents"])
def test_a_lock_that_was_swept_away_is_put_back_and_is_nobody_elses_meanwhile(tmp_path: Path, what: str) -> None:
    place = RuntimePaths.of("key", str(tmp_path / "run"))
    if what == "parents":
        (tmp_path / "a").mkdir()
        place = RuntimePaths.of("key", str(tmp_path / "a" / "run"))
    lock = OwnerLock.acquire(place, keep)
    assert lock is not None
    lock.note(3)
    match what:
        case "lock":
            place.lock.unlink()
        case "directory":
            shutil.rmtree(place.directory)
        case _:
            shutil.rmtree(place.directory.parent)
    assert not lock.is_ours()
    if sys.platform == "linux":
        assert RuntimePaths.of("key", str(place.directory)) == place  # its owner is asked to make it again
        assert OwnerLock.acquire(place.ensure(again=True), keep) is None
    assert lock.restore(place.ensure(again=True)) is LockState.OURS
    assert lock.is_ours()
    assert OwnerLock.acquire(place, keep) is None
    lock.release()
    again = OwnerLock.acquire(place, keep)
    assert again is not None
    again.release()


def test_a_directory_that_goes_before_the_lock_is_opened_is_made_again(place: RuntimePaths) -> None:
    shutil.rmtree(place.directory)
    lock = OwnerLock.acquire(place, keep)
    assert lock is not None
    assert lock.is_ours()
    lock.release()


async def test_a_socket_that_is_removed_while_it_is_made_is_made_again(
    place: RuntimePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = OwnerLock.acquire(place, keep)
    assert lock is not None
    files = OwnerFiles(lock, DescriptorReserve(), accepted=lambda _: None, exhausted=lambda _: None, check=lambda: None)
    chmod = os.chmod

    def remove(path: Path, mode: int) -> None:
        chmod(path, mode)
        shutil.rmtree(place.directory)

    with monkeypatch.context() as sweeping:
        sweeping.setattr(os, "chmod", remove)
        files.start()
    assert not place.socket.exists()
    for _ in range(2):
        assert files.restore_missing()
    with socket.socket(socket.AF_UNIX) as newcomer:
        newcomer.connect(str(place.socket))
    files.release(is_followed=False)
    assert not place.socket.exists()


def test_a_newcomer_that_looks_at_the_lock_takes_nothing_over(
    place: RuntimePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = OwnerLock.acquire(place, keep)
    assert lock is not None
    place.lock.unlink()
    with place.lock.open("w") as newcomer:
        fcntl.flock(newcomer, fcntl.LOCK_EX)
        assert lock.restore(place) is LockState.BUSY
        with monkeypatch.context() as without:
            without.setattr(os, "open", no_descriptor)
            with pytest.raises(OutOfResources):
                lock.restore(place)
    assert lock.restore(place) is LockState.OURS
    lock.release()


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets")
def test_the_second_lock_is_one_for_each_user_and_directory_that_was_asked_for(tmp_path: Path) -> None:
    one, other = (RuntimePaths.of("key?token=secret", str(tmp_path / name)) for name in ("one", "other"))
    assert one.socket_lock_name != other.socket_lock_name
    assert one.socket_lock_name == RuntimePaths.of("key?token=secret", str(tmp_path / "." / "one")).socket_lock_name
    assert one.socket_lock_name != RuntimePaths.of("another key", str(tmp_path / "one")).socket_lock_name
    assert "secret" not in one.socket_lock_name
    assert "one" not in one.socket_lock_name.removeprefix("\0onesocket-")


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
async def test_another_user_that_has_the_name_keeps_nobody_out(place: RuntimePaths) -> None:
    script = (
        "import os, socket, sys; os.setuid(65534); sock = socket.socket(socket.AF_UNIX); "
        "sock.bind(chr(0) + sys.argv[1]); sock.listen(); print(flush=True); sys.stdin.read()"
    )
    theirs = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, place.socket_lock_name.removeprefix("\0")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert theirs.stdout is not None
    await theirs.stdout.readline()
    lock = OwnerLock.acquire(place, keep)
    assert lock is not None
    assert OwnerLock.acquire(place, keep) is None
    lock.release()
    await theirs.communicate(b"")


async def test_the_next_owner_waits_for_the_death_of_the_last(place: RuntimePaths) -> None:
    lock = OwnerLock.acquire(place, keep)
    assert lock is not None
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    lock.predecessor = OwnerRecord.of(process.pid, 5)
    waiting = asyncio.get_running_loop().create_task(lock.predecessor_gone())
    await asyncio.sleep(0)
    assert not lock.predecessor.is_gone()
    assert not waiting.done()
    process.kill()
    await asyncio.wait_for(waiting, 5)
    assert lock.predecessor.is_gone()
    await process.wait()
    lock.release()


def test_a_number_that_another_process_has_now_is_nobody_to_wait_for() -> None:
    assert OwnerRecord(os.getppid(), "1", 0).is_gone() or not hasattr(os, "pidfd_open")
    assert OwnerRecord(2**22 - 1, "1", 0).is_gone()
    assert OwnerRecord(os.getpid(), "1", 0).is_gone()
    assert not OwnerRecord(os.getppid(), "-", 0).is_gone()  # not known isn't another one


OWNER_THAT_EXECUTES = """
import ctypes, os, sys
from pathlib import Path
from onesocket.sharing.host._owner_lock import OwnerLock
from onesocket.sharing.host._runtime_paths import RuntimePaths
lock = OwnerLock.acquire(RuntimePaths(Path(sys.argv[1]), sys.argv[2]), lambda lock: None)
lock.note(3)
print("has it", flush=True)
if input() == "fork":  # as a library in C does: the child keeps all descriptors
    child = ctypes.CDLL(None).fork()
    if not child:
        import signal
        signal.pause()
    print(child, flush=True)
os.execv("/bin/sh", ["sh", "-c", "echo another program; read line"])
"""


async def start_owner_that_executes(place: RuntimePaths) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER_THAT_EXECUTES, str(place.directory), place.name,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"has it\n"
    return process


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells that of other systems to nobody")


@linux_only
async def test_an_owner_that_executes_another_program_is_not_waited_for(
    place: RuntimePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_owner_lock, "_MAX_EXIT_WAIT", 3600.0)
    process = await start_owner_that_executes(place)
    assert OwnerLock.acquire(place, keep) is None
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"exec\n")
    assert await process.stdout.readline() == b"another program\n"
    lock = OwnerLock.acquire(place, keep)
    assert lock is not None
    assert lock.predecessor is not None
    assert not lock.predecessor.is_gone()
    await asyncio.wait_for(lock.predecessor_gone(), 10)
    lock.release()
    await process.communicate(b"end\n")


@linux_only
async def test_a_child_that_keeps_the_descriptors_of_an_owner_that_executes_keeps_the_lock(place: RuntimePaths) -> None:
    process = await start_owner_that_executes(place)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"fork\n")
    child = int(await process.stdout.readline())
    assert await process.stdout.readline() == b"another program\n"
    assert OwnerLock.acquire(place, keep) is None
    os.kill(child, signal.SIGKILL)
    async with asyncio.timeout(10):
        while (lock := OwnerLock.acquire(place, keep)) is None:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)
    lock.release()
    await process.communicate(b"end\n")


@pytest.mark.parametrize(
    ("seen", "is_done"),
    [
        ([], False),  # there is no /proc, or it doesn't tell
        ([(0, 9, "S")], False),
        ([(10, 5, "S"), (10, 9, "R")], False),  # the same program
        ([(20, 5, "R"), (20, 5, "R")], False),  # the new one has not run yet
        ([(20, 5, "R"), (20, 6, "R")], True),
        ([(0, 5, "R"), (20, 5, "R"), (20, 5, "S")], True),
    ],
)
def test_what_counts_as_another_program(
    monkeypatch: pytest.MonkeyPatch, seen: list[tuple[int, int, str]], is_done: bool
) -> None:
    told = iter(seen)

    def look(_: int) -> ProcessStat | None:
        now = next(told, None)
        return None if now is None else ProcessStat("1", *now)

    monkeypatch.setattr(ProcessStat, "of", look)
    watch = ExecWatch(1, 10)
    looks = max(1, len(seen))
    assert [watch.is_done() for _ in range(looks)] == [False] * (looks - 1) + [is_done]


@pytest.mark.parametrize("content", ["", "nonsense", "1 2", "x y z", "1 2 3 x", "1 2 3 4 5 6 7", "\0" * 500])
def test_whatever_is_in_the_lock_it_can_be_had(place: RuntimePaths, content: str) -> None:
    place.lock.write_text(content)
    lock = OwnerLock.acquire(place, keep)
    assert lock is not None
    assert lock.predecessor is None
    lock.release()


def test_a_child_that_does_not_exec_does_not_keep_the_lock(place: RuntimePaths) -> None:
    class Holder:
        lock: OwnerLock | None = None

        def file_descriptors(self) -> list[int]:
            return [] if self.lock is None else list(self.lock.descriptors())

        def forked(self) -> None:
            pass

    holder = Holder()
    forking.register_holder(holder)

    def note(lock: OwnerLock) -> None:
        holder.lock = lock

    lock = OwnerLock.acquire(place, note)
    assert lock is not None
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        for descriptor in lock.descriptors():
            os.close(descriptor)  # as a death would; the child lives
        if lock.notification_socket is not None:
            lock.notification_socket.detach()
        lock.descriptor = -1
        again = OwnerLock.acquire(place, keep)
        assert again is not None
        again.release()
    finally:
        os.write(go[1], b"x")
        os.waitpid(child, 0)
        for end in (*ready, *go):
            os.close(end)


def test_the_listing_of_nothing_is_empty(place: RuntimePaths) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.socket))
    assert listing(str(place.directory)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"heartbeat": 0},
        {"stopped_after": 1.0},
        {"buffer": 0},
        {"on_stopped": "kill"},
        {"most_followers": True},
        {"keep": 0},
        {"hold": -1},
        {"hold": False},
        {"attach_timeout": float("nan")},
    ],
)
def test_options_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(wrong))):
        HostOptions(**wrong)  # type: ignore[arg-type]
    assert HostOptions(on_stopped="take-over").on_stopped is OnStopped.TAKE_OVER
