"""The owner's ring between real processes: bursts, long messages, late ones, and the number of what is missing."""

import asyncio
import os
import signal

import pytest

from onesocket.sharing.host import listing
from onesocket.testing import Fault, FaultyServer
from tests.campaigns.harness.worker_process import WorkerProcess
from tests.support import sharing_processes
from tests.support.sharing_processes import SharingProcesses, assert_single_connection

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")

MIB = 2**20

server, group = sharing_processes.server, sharing_processes.group


def gaps(process: WorkerProcess) -> list[tuple[str, int, int | None]]:
    """Reason, epoch and number of each marker."""
    return [
        (report["reason"], report["epoch"], report["missed"]) for report in process.said if report["event"] == "gap"
    ]


async def owner_first(group: SharingProcesses, processes: list[WorkerProcess]) -> list[WorkerProcess]:
    owner = await group.owner()
    return [owner, *(process for process in processes if process is not owner)]


async def test_processes_that_read_get_the_whole_of_a_burst_and_long_messages(
    group: SharingProcesses, server: FaultyServer
) -> None:
    processes = await owner_first(group, await group.start(2, client={"max_size": None}, shown=6))
    marks = [0, 0]
    for epoch, (count, length) in enumerate([(20_000, 1_000), (8, 2 * MIB), (1, 65 * MIB)], 2):
        server.faults = Fault.burst([*(f"{number:06}".ljust(length, "x") for number in range(count)), "end"])
        server.kill_connections()
        for index, process in enumerate(processes):
            await process.got("end 3", marks[index])
            assert process.messages[-count - 1 :] == [*(f"{number:06} {length}" for number in range(count)), "end 3"]
            assert gaps(process)[epoch - 2 :] == [("reconnected", epoch, None)]
            marks[index] = len(process.said)
    await processes[1].do("send", message="x" * 1_000_000)
    await server.wait_until(lambda counts: counts.messages_received == 1)
    assert server.received == ["x" * 1_000_000]


async def test_the_greeting_of_a_new_owners_connection_reaches_those_that_come_late(
    group: SharingProcesses, server: FaultyServer
) -> None:
    server.faults = Fault.greeting("hello")
    owner, follower, late = await owner_first(group, await group.start(3))
    marks = [len(process.said) for process in (follower, late)]
    late.signal(signal.SIGSTOP)
    await owner.end()
    await follower.got("hello", marks[0])
    await server.broadcast("next")
    await follower.got("next", marks[0])
    late.signal(signal.SIGCONT)
    for process, mark in zip((follower, late), marks, strict=True):
        await process.got("next", mark)
        reports = [report for report in process.said[mark:] if report["event"] in ("messages", "gap")]
        assert reports[0]["event"] == "gap"
        assert gaps(process) == [("reconnected", 2, None)]
        assert [message for report in reports[1:] for message in report["batch"]] == ["hello", "next"]
    assert_single_connection(server)


@pytest.mark.parametrize("buffer", [8 * MIB, 20_000])
async def test_a_process_that_was_cut_off_goes_on_where_it_stopped(
    group: SharingProcesses, server: FaultyServer, buffer: int
) -> None:
    host = {"buffer": buffer, "cut_off_after": 0.2}
    owner, follower = await owner_first(group, await group.start(2, host=host, shown=6))
    await server.broadcast("first")
    await follower.got("first 5")
    follower.signal(signal.SIGSTOP)
    for number in range(20):
        await server.broadcast(f"{number:06}".ljust(100_000, "x"))
    await owner.until(lambda report: report["event"] == "messages" and "000019 100000" in report["batch"])
    while (await asyncio.to_thread(listing, str(group.directory)))[0].followers:
        pass
    follower.signal(signal.SIGCONT)
    await follower.got("000019 100000")
    missing = 21 - len(follower.messages)
    assert missing == 0 or buffer < MIB
    assert gaps(follower) == ([("overflow", 1, missing)] if missing else [])
    assert follower.messages == sorted(set(follower.messages), key=follower.messages.index)
    assert_single_connection(server)


async def test_a_process_with_subscriptions_that_was_cut_off_gets_a_gap_as_they_had_ended(
    group: SharingProcesses, server: FaultyServer
) -> None:
    host = {"buffer": 8 * MIB, "cut_off_after": 0.2}
    owner, follower = await owner_first(group, await group.start(2, host=host, protocol="topics", shown=6))
    await follower.do("want", keys=["a"])
    await server.wait_until(lambda counts: counts.messages_received == 1)
    follower.signal(signal.SIGSTOP)
    for number in range(20):
        await server.broadcast(f'"{number:06}' + "x" * 100_000 + '"')
    await server.wait_until(lambda counts: counts.messages_received == 2)  # unsubscribed
    follower.signal(signal.SIGCONT)
    await server.wait_until(lambda counts: counts.messages_received == 3)  # subscribed again
    await server.broadcast('"after"')
    await follower.got("after 5")
    assert gaps(follower) == [("reconnected", 1, None)]
    await owner.got("after 5")
    assert len(follower.messages) < len(owner.messages) == 21
