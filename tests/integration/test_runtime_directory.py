"""The files of a shared connection go, or descriptors run out: the connection stays, and stays the only one."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from onesocket.testing import FaultyServer
from tests.campaigns.harness.worker_process import DEADLINE, WorkerProcess
from tests.support import sharing_processes
from tests.support.sharing_processes import QUICK, SharingProcesses, assert_single_connection, paths_of

NEWCOMERS = Path(__file__).with_name("host_newcomers.py")
MANY = 20

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only"),
    pytest.mark.timeout(120),
]

server, group = sharing_processes.server, sharing_processes.group


@contextlib.asynccontextmanager
async def newcomers(
    server: FaultyServer, count: int, *, env: dict[str, str] | None = None, **host: Any
) -> AsyncIterator[list[str]]:
    """Start `count` members that join at once and yield their reports; inside the block they share the connection."""
    setup = json.dumps({"url": server.url, "count": count, "host": {**QUICK, **host}})
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(NEWCOMERS), setup, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=env
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(4 * DEADLINE):
            yield [(await process.stdout.readline()).decode().strip() for _ in range(count)]
    finally:
        process.stdin.close()
        async with asyncio.timeout(4 * DEADLINE):
            await process.wait()


def remove_lock(group: SharingProcesses) -> None:
    paths_of(group).lock.unlink()


def remove_socket(group: SharingProcesses) -> None:
    paths_of(group).socket.unlink()


def remove_directory(group: SharingProcesses) -> None:
    shutil.rmtree(group.directory)


def remove_parent(group: SharingProcesses) -> None:
    shutil.rmtree(group.directory.parent)


def rename_directory(group: SharingProcesses) -> None:
    group.directory.rename(group.directory.with_name("renamed"))


async def check_owner_is_replaced(group: SharingProcesses, server: FaultyServer) -> None:
    """Exactly one takes over, and everybody is fed by it."""
    before = server.counts.handshakes
    owner = await group.owner()
    group.members.remove(owner)
    rest = list(group.members)
    marks = [len(process.said) for process in rest]
    owner.kill()
    await owner.process.wait()
    up = [
        process.until(lambda report: report.get("new") == "CONNECTED", mark)
        for process, mark in zip(rest, marks, strict=True)
    ]
    await asyncio.gather(*up)
    await group.all_receive("by the next owner", rest)
    assert server.counts.handshakes == before + 1
    assert_single_connection(server)


@pytest.mark.parametrize(
    ("remove", "count"),
    [
        (remove_lock, 3),
        (remove_socket, 3),
        (remove_directory, 3),
        (rename_directory, 3),
        (remove_parent, MANY),
    ],
)
async def test_files_that_are_removed_cost_no_connection_and_let_nobody_dial(
    group: SharingProcesses, server: FaultyServer, remove: Callable[[SharingProcesses], None], count: int
) -> None:
    processes = await group.start(3)
    remove(group)
    async with newcomers(server, count, directory=str(group.directory)) as said:
        assert said == ["joined"] * count
        await group.all_receive("still here", processes)
        assert server.counts.handshakes == 1
        assert_single_connection(server)
        await check_owner_is_replaced(group, server)


async def test_the_owner_is_killed_before_it_has_put_anything_back(
    group: SharingProcesses, server: FaultyServer
) -> None:
    await group.start(4, host={"heartbeat": 30.0, "stopped_after": 60.0})
    remove_parent(group)
    await check_owner_is_replaced(group, server)


async def test_the_users_runtime_directory_goes_and_comes_back(
    group: SharingProcesses, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "run-user"
    base.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    monkeypatch.delenv("ONESOCKET_RUNTIME_DIR", raising=False)
    env = dict(os.environ)
    async with newcomers(server, 2, env=env) as first:
        assert first == ["joined"] * 2
        shutil.rmtree(base)  # what logind does at the last logout
        async with newcomers(server, 5, env=env) as homeless:
            assert homeless == ["joined"] * 5  # in the next directory of the list
            base.mkdir(mode=0o700)
            async with newcomers(server, 5, env=env) as late:
                assert late == ["joined"] * 5
                assert server.counts.handshakes == 1
    assert_single_connection(server)


async def test_a_directory_of_other_permissions_keeps_newcomers_out_and_nobody_else(
    group: SharingProcesses, server: FaultyServer
) -> None:
    processes = await group.start(3)
    shutil.rmtree(group.directory)
    group.directory.mkdir()
    group.directory.chmod(0o755)
    (late,) = await group.start(1, connect=False)
    assert late.said[0]["kind"] == "NoRuntimeDirectory"
    group.members.remove(late)
    await late.end()
    await asyncio.sleep(3 * QUICK["heartbeat"])  # the owner looks, and can't put its files back
    await group.all_receive("still here", processes)
    owner = await group.owner()
    rest = [process for process in processes if process is not owner]
    marks = [len(process.said) for process in rest]
    owner.kill()
    for process, mark in zip(rest, marks, strict=True):
        await process.until(lambda report: report.get("new") == "BACKING_OFF", mark)
        assert "NoRuntimeDirectory" in (await process.refused("connect"))["kind"]
    group.directory.chmod(0o700)
    for process, mark in zip(rest, marks, strict=True):
        await process.until(lambda report: report.get("new") == "CONNECTED", mark)
    await group.all_receive("in order again", rest)
    assert server.counts.handshakes == 2
    assert_single_connection(server)


async def test_processes_of_two_network_namespaces_share_by_the_directory(
    group: SharingProcesses, server: FaultyServer
) -> None:
    processes = [*await group.start(2), *await group.start(2, namespace="another")]
    await group.all_receive("to all", processes)
    assert server.counts.handshakes == 1
    await check_owner_is_replaced(group, server)


async def test_a_process_without_a_descriptor_takes_over_all_the_same(
    group: SharingProcesses, server: FaultyServer
) -> None:
    await group.start(1)
    (follower,) = await group.start(1)
    await follower.do("use up descriptors")
    await check_owner_is_replaced(group, server)
    await follower.do("free descriptors")
    await group.start(2)
    await check_owner_is_replaced(group, server)


@pytest.mark.parametrize("spare", [0, 1])
async def test_a_fork_without_a_descriptor_keeps_neither_the_connection_nor_a_lock(
    group: SharingProcesses, server: FaultyServer, spare: int
) -> None:
    await group.start(2)
    owner = await group.owner()
    await owner.do("use up descriptors", spare=spare)
    child = (await owner.do("fork"))["child"]
    try:
        await check_owner_is_replaced(group, server)  # the child lives on
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("on_stopped", ["wait", "take-over"])
async def test_an_owner_without_a_descriptor_says_so_and_stays_the_owner(
    group: SharingProcesses, server: FaultyServer, on_stopped: str
) -> None:
    host = {**QUICK, "on_stopped": on_stopped}
    members = await group.start(2, host=host)
    owner = await group.owner()
    await owner.do("use up descriptors")
    late = await group.start(3, connect=False, host=host)
    for process in late:
        error = await process.refused("connect")
        assert error["kind"] == "OutOfResources"
        assert f"pid {owner.pid}" in error["text"]
    await group.all_receive("still here", members)
    await owner.do("free descriptors")
    for process in late:
        await process.do("connect")
    await group.all_receive("to all", group.members)
    assert server.counts.handshakes == 1
    assert_single_connection(server)


async def test_a_stopped_owner_without_its_files_is_waited_for(group: SharingProcesses, server: FaultyServer) -> None:
    await group.start(2)
    owner = await group.owner()
    owner.signal(signal.SIGSTOP)
    remove_parent(group)
    (late,) = [await WorkerProcess.start(Path(__file__).with_name("host_worker.py"), {**group_setup(group)})]
    group.members.append(late)
    connecting = late.tell("connect")
    await asyncio.sleep(2 * QUICK["stopped_after"])
    assert server.counts.handshakes == 1
    owner.signal(signal.SIGCONT)
    assert (await late.answer(connecting))["event"] == "done"
    await group.all_receive("goes on", group.members)
    assert_single_connection(server)


def group_setup(group: SharingProcesses) -> dict[str, Any]:
    return {"url": group.server.url, "directory": str(group.directory), "host": QUICK}
