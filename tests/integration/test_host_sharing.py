"""Processes that share one connection. Real processes, real sockets; the *server* counts."""

import asyncio
import json
import os
import random
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onesocket.errors import ForeignUser
from onesocket.sharing.host import _ipc_frames as frames
from onesocket.sharing.host import listing
from onesocket.testing import Fault, FaultyServer
from tests.campaigns.harness.worker_process import DEADLINE, WorkerProcess
from tests.support import sharing_processes
from tests.support.sharing_processes import SharingProcesses, assert_single_connection, paths_of

SIZE = 100_000

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")

server, group = sharing_processes.server, sharing_processes.group


async def received_again_at(process: WorkerProcess, since: int) -> float:
    """When it received again, after a gap marker."""
    gap = await process.until(lambda report: report["event"] == "gap", since)
    at = process.said.index(gap, since)
    return float((await process.until(lambda report: report["event"] == "messages", at))["at"])


async def goes_on(process: WorkerProcess, since: int) -> None:
    """Wait until it receives again, without a gap."""
    first = await process.until(lambda report: report["event"] in ("messages", "gap"), since)
    assert first["event"] == "messages"


def logged(process: WorkerProcess, since: int = 0) -> list[tuple[str, str]]:
    """Level and text of what it logged."""
    return [(report["level"], report["text"]) for report in process.said[since:] if report["event"] == "log"]


# --- what is logged -------------------------------------------------------------------------------------------------


async def test_a_loss_is_warned_of_once_and_known_to_all(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(3)
    owner = await group.owner()
    server.kill_connections()
    await group.connected(2, processes)
    for process in processes:
        kind, text, at = await process.do("last loss")
        assert (kind, text.startswith("the connection was lost")) == ("ConnectionReset", True), text
        assert abs(time.time() - at) < DEADLINE
        lost, received_again_at = logged(process)
        assert lost[0] == ("WARNING" if process is owner else "INFO")
        assert "connection lost: the connection was lost without a CLOSE frame" in lost[1]
        assert received_again_at[0] == "INFO"
        assert "connected again after" in received_again_at[1]
    (late,) = await group.start(1)
    assert (await late.do("last loss"))[0] == "ConnectionReset"
    (listed,) = listing(str(group.directory))
    assert str(listed.last_loss).startswith("ConnectionReset: the connection was lost")


async def test_the_end_of_an_owner_is_warned_of_by_its_successor(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(3)
    old = await group.owner()
    old.process.kill()
    left = [process for process in processes if process is not old]
    await group.connected(2, left)
    new = await group.owner()
    for process in left:
        assert (await process.do("last loss"))[0] == "OwnerLost"
        said = logged(process)
        assert [level for level, _ in said] == ["INFO", *(["WARNING"] if process is new else []), "INFO"], said
        assert "connection lost: the process that held the connection ended" in said[0][1]
        assert "connected again after" in said[-1][1]
    server.kill_connections()
    await group.connected(3, left)
    assert [level for level, _ in logged(new)].count("WARNING") == 2


async def test_an_owner_that_leaves_is_no_warning(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(2)
    old = await group.owner()
    (left,) = (process for process in processes if process is not old)
    await old.do("close")
    await group.connected(2, [left])
    assert {level for level, _ in logged(left)} == {"INFO"}
    assert logged(old) == []


async def test_giving_up_is_an_error_in_every_process(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(2)
    owner = await group.owner()
    server.faults = Fault.refuse(403)
    server.kill_connections()
    for process in processes:
        await process.until(lambda report: report["event"] == "failed")
        errors = [text for level, text in logged(process) if level == "ERROR"]
        assert len(errors) == 1, logged(process)
        assert "HTTP 403" in errors[0]
        assert sum(level == "WARNING" for level, _ in logged(process)) == (process is owner)


# --- joining --------------------------------------------------------------------------------------------------------


async def test_processes_that_join_at_once_share_one_handshake(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(6, connect=False)
    outcomes = await asyncio.gather(*(process.do("connect") for process in processes))
    assert outcomes.count("OPENED") == 1, outcomes
    assert server.counts.handshakes == 1
    await group.all_receive("to all", processes)
    for number, process in enumerate(processes):
        await process.do("send", message=f"from {number}")
    await server.wait_until(lambda counts: counts.messages_received == 6, DEADLINE)
    assert sorted(map(str, server.received)) == [f"from {number}" for number in range(6)]
    assert_single_connection(server)


async def test_every_process_knows_the_answer_to_the_upgrade(group: SharingProcesses, server: FaultyServer) -> None:
    server.faults = [Fault.odd_head(headers=[("X-Shard", "7"), ("Set-Cookie", "x" * 9000)])]
    processes = await group.start(3)
    answers = [await process.do("handshake") for process in processes]
    assert answers[0] == answers[1] == answers[2]
    assert [pair for pair in answers[0][1] if pair[0] in ("x-shard", "set-cookie")] == [
        ["x-shard", "7"],
        ["set-cookie", "x" * 9000],
    ]


async def test_the_last_one_out_closes_the_connection(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(2)
    owner = await group.owner()
    for process in sorted(processes, key=lambda process: process is owner):
        assert server.counts.sockets_now == 1
        await process.do("close")
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0, DEADLINE)
    assert counts.close_codes == {1000: 1}
    assert_single_connection(server)


async def test_text_binary_and_large_messages_arrive_as_they_are(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(3, protocol="json")
    big = {"text": "☃" * 300_000}
    await server.broadcast(json.dumps(big))
    await asyncio.gather(*(process.got(big) for process in processes))
    await processes[2].do("send", message=big)
    await processes[1].do("send", message=big)
    await server.wait_until(lambda counts: counts.messages_received == 2, DEADLINE)
    assert json.loads(str(server.received[0])) == big


async def test_each_message_of_an_array_comes_in_order_and_a_bad_one_is_a_gap(
    group: SharingProcesses, server: FaultyServer
) -> None:
    processes = await group.start(2, protocol="many")
    for frame in ("[[1], [2, 3]]", '[[4], ["x"], [5]]', "[[6]]"):
        await server.broadcast(frame)
    await asyncio.gather(*(process.got([6]) for process in processes))
    for process in processes:
        seen: list[Any] = []
        for report in process.said:
            seen += report["batch"] if report["event"] == "messages" else []
            seen += [(report["reason"], report["missed"])] if report["event"] == "gap" else []
        assert seen == [[1], [2, 3], [4], ("undecodable", 1), [5], [6]]


async def test_order_of_one_process_is_kept(group: SharingProcesses, server: FaultyServer) -> None:
    _, follower = await group.start(2)
    numbers = [follower.tell("send", message=f"{count:04}") for count in range(500)]
    for number in numbers:
        assert (await follower.answer(number))["event"] == "done"
    await server.wait_until(lambda counts: counts.messages_received == 500, DEADLINE)
    assert server.received == [f"{count:04}" for count in range(500)]


async def test_a_follower_that_is_cancelled_or_killed_hurts_nobody(
    group: SharingProcesses, server: FaultyServer
) -> None:
    server.faults = [Fault.slow_upgrade(0.5)]
    processes = await group.start(3, connect=False)
    asked = [process.tell("connect") for process in processes]
    await server.wait_until(lambda counts: counts.handshakes == 1, DEADLINE)
    owner = await group.owner()
    victim, other = [process for process in processes if process is not owner]
    victim.kill()
    for process in (owner, other):
        assert (await process.answer(asked[processes.index(process)]))["event"] == "done"
    await group.all_receive("to the rest", [owner, other])
    assert server.counts.handshakes == 1
    assert_single_connection(server)


# --- the owner's end ------------------------------------------------------------------------------------------------


async def test_an_owner_that_is_killed_is_replaced(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(4)
    owner = await group.owner()
    rest = [process for process in processes if process is not owner]
    marks = [len(process.said) for process in rest]
    async with group.load():
        killed = time.monotonic()
        owner.kill()
        took = max(await asyncio.gather(*map(received_again_at, rest, marks))) - killed
    print(f"fail-over: {took * 1000:.1f} ms from the kill to the last follower receiving")  # noqa: T201
    for process, mark in zip(rest, marks, strict=True):
        news = [report for report in process.said[mark:] if report["event"] in ("gap", "messages")]
        assert news[0]["event"] == "gap" or news[1]["event"] == "gap", news[:3]
        news = [report for report in news if report["event"] == "gap"]
        assert len(news) == 1
        assert (news[0]["reason"], news[0]["epoch"]) == ("reconnected", 2)
    assert_single_connection(server)


async def test_a_killed_owner_with_bytes_unsent_is_replaced_by_a_newcomer_while_the_follower_is_stopped(
    group: SharingProcesses, server: FaultyServer
) -> None:
    (owner,) = await group.start(1)
    (follower,) = await group.start(1)
    server.connections[0].strike(Fault.stop_reading())
    for _ in range(30):  # so much that the owner's kernel takes all, and the server's doesn't
        await owner.do("send", message="x" * SIZE)
    follower.signal(signal.SIGSTOP)
    owner.kill()
    (newcomer,) = await group.start(1)
    assert server.established == server.most_established == 1
    follower.signal(signal.SIGCONT)
    await group.connected(2, [follower])
    await group.all_receive("after", [follower, newcomer])
    assert server.established == server.most_established == 1


async def test_an_owner_that_leaves_hands_over_in_order(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(3)
    owner = await group.owner()
    rest = [process for process in processes if process is not owner]
    await owner.do("close")
    await group.connected(2, rest)
    await group.all_receive("after", rest)
    counts = server.counts
    assert counts.close_codes == {1000: 1}
    assert counts.unclean_closes == 0
    assert all("gap" in [report["event"] for report in process.said] for process in rest)
    assert_single_connection(server)


async def test_a_server_that_still_counts_the_owner_that_left_is_tried_again_soon(
    group: SharingProcesses, server: FaultyServer
) -> None:
    await group.start(2)
    owner = await group.owner()
    rest = [process for process in group.members if process is not owner]
    server.faults = [Fault.refuse(429, body="connection limit exceeded")] * 2
    await owner.do("close")
    await group.connected(4, rest)  # not after busy_delay, 30 s
    assert_single_connection(server)


async def test_a_date_that_the_server_named_outlives_the_owner(group: SharingProcesses, server: FaultyServer) -> None:
    await group.start(2, client={"open_timeout": 0.5})
    owner = await group.owner()
    (other,) = (process for process in group.members if process is not owner)
    server.faults = [Fault.refuse(503, headers={"Retry-After": "60"})]
    server.kill_connections()
    await other.until(lambda report: report.get("new") == "BACKING_OFF" and report["epoch"] == 2)
    mark = len(other.said)
    await owner.do("close")
    await other.until(lambda report: report.get("new") == "BACKING_OFF", mark)
    assert (await other.do("status"))[2]  # it is the owner now
    assert (await other.refused("connect"))["kind"] == "ServerBusy"
    assert server.counts.handshakes == 2


async def test_a_forked_child_keeps_neither_the_connection_nor_the_lock(
    group: SharingProcesses, server: FaultyServer
) -> None:
    owner, follower, other = await group.start(3)
    while owner is not await group.owner():
        owner, follower, other = follower, other, owner
    children = [(await owner.do("fork"))["child"], (await follower.do("fork"))["child"]]
    try:
        await group.all_receive("the parents live on", [owner, follower, other])
        owner.kill()
        await group.connected(2, [follower, other])
        await group.all_receive("after", [follower, other])
        epoch = 3 if follower is await group.owner() else 2
        await follower.do("close")
        await group.connected(epoch, [other])
        await group.all_receive("still", [other])
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
    assert_single_connection(server)


async def test_an_outage_at_the_take_over_is_waited_out(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(3)
    owner = await group.owner()
    rest = [process for process in processes if process is not owner]
    await server.stop_listening()
    owner.kill()
    for process in rest:
        await process.until(lambda report: report.get("new") == "BACKING_OFF")
    sending = rest[0].tell("send", message="waits")
    await server.start()
    await asyncio.gather(*(process.until(lambda report: report.get("new") == "CONNECTED", 3) for process in rest))
    await group.all_receive("after", rest)
    assert (await rest[0].answer(sending))["event"] == "done"
    await server.wait_until(lambda counts: counts.messages_received == 1, DEADLINE)
    assert_single_connection(server)


# --- a stopped owner ------------------------------------------------------------------------------------------------


async def until_silent(process: WorkerProcess) -> None:
    while "silent owner" not in (await process.do("status"))[3]:
        pass


async def test_a_stopped_owner_is_waited_for_and_keeps_its_connection(
    group: SharingProcesses, server: FaultyServer
) -> None:
    processes = await group.start(3)
    owner = await group.owner()
    rest = [process for process in processes if process is not owner]
    owner.signal(signal.SIGSTOP)
    for process in rest:
        await until_silent(process)
        assert f"(pid {owner.pid}) does not answer" in (await process.do("status"))[4]
    sending = rest[0].tell("send", message="moves along")
    await server.broadcast("meanwhile")
    owner.signal(signal.SIGCONT)
    assert (await rest[0].answer(sending))["event"] == "done"
    await group.all_receive("after", processes)
    assert (await owner.do("status"))[2]
    for process in processes:
        await process.got("meanwhile", 0)
        assert not any(report["event"] == "gap" for report in process.said)
        while "does not answer" in (await process.do("status"))[4]:
            pass  # until the next heartbeat
    await server.wait_until(lambda counts: counts.messages_received == 1, DEADLINE)
    assert server.counts.close_codes == {}
    assert server.counts.handshakes == 1
    assert_single_connection(server)


async def test_a_stopped_owner_whose_connection_ended_meanwhile_dials_again_itself(
    group: SharingProcesses, server: FaultyServer
) -> None:
    processes = await group.start(2)
    owner = await group.owner()
    (follower,) = [process for process in processes if process is not owner]
    owner.signal(signal.SIGSTOP)
    await until_silent(follower)
    server.connections[0].strike(Fault.accept_then_reset())
    owner.signal(signal.SIGCONT)
    await group.connected(2, processes)
    assert (await owner.do("status"))[2]
    await group.all_receive("after", processes)
    assert_single_connection(server)


async def test_who_joins_while_the_owner_is_stopped_is_told(group: SharingProcesses) -> None:
    (owner,) = await group.start(1)
    owner.signal(signal.SIGSTOP)
    (late,) = await group.start(1, connect=False, client={"open_timeout": 0.1, "close_timeout": 0.1})
    error = await late.refused("connect")
    assert error["kind"] == "OwnerSilent"
    assert str(owner.pid) in error["text"]
    owner.signal(signal.SIGCONT)
    assert await late.do("connect") == "ALREADY_CONNECTED"


async def test_a_stopped_owner_is_replaced_if_that_is_asked_for(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(3, host={"on_stopped": "take-over"})
    owner = await group.owner()
    rest = [process for process in processes if process is not owner]
    old = server.connections[0]
    owner.signal(signal.SIGSTOP)
    await group.connected(2, rest)
    assert server.counts.most_sockets == 2  # the one case
    sending = owner.tell("send", message="late")
    await rest[0].do("send", message="early")
    owner.signal(signal.SIGCONT)
    assert (await owner.answer(sending))["event"] == "done"
    await server.wait_until(lambda counts: counts.sockets_now == 1, DEADLINE)
    assert old.received == []
    assert server.received == ["early", "late"]
    await group.connected(2, [owner])
    await group.all_receive("after", processes)
    assert server.counts.most_sockets == 2


async def test_the_end_of_the_process_that_took_over_is_no_end_of_the_feed(
    group: SharingProcesses, server: FaultyServer
) -> None:
    processes = await group.start(3, host={"on_stopped": "take-over"})
    stopped = await group.owner()
    rest = [process for process in processes if process is not stopped]
    stopped.signal(signal.SIGSTOP)
    await group.connected(2, rest)
    (second,) = [process for process in rest if (await process.do("status"))[2]]
    second.kill()
    (last,) = [process for process in rest if process is not second]
    await group.connected(3, [last])
    await group.all_receive("while it is stopped", [last])
    stopped.signal(signal.SIGCONT)
    await group.connected(3, [stopped])
    await server.wait_until(lambda counts: counts.sockets_now == 1, DEADLINE)
    await group.all_receive("after", [stopped, last])
    assert server.counts.most_sockets == 2


# --- messages -------------------------------------------------------------------------------------------------------


async def test_a_message_that_the_dead_owner_had_is_unknown_or_sent_again(
    group: SharingProcesses, server: FaultyServer
) -> None:
    processes = await group.start(2)
    owner = await group.owner()
    (follower,) = [process for process in processes if process is not owner]
    owner.signal(signal.SIGSTOP)
    plain, named = follower.tell("send", message="plain"), follower.tell("send", message="named", resend=True)
    while "outbox=2" not in (await follower.do("status"))[3]:
        pass
    owner.kill()
    assert (await follower.answer(plain))["kind"] == "DeliveryUnknown"
    assert (await follower.answer(named))["event"] == "done"
    await server.wait_until(lambda counts: counts.messages_received == 1, DEADLINE)
    assert server.received == ["named"]
    assert_single_connection(server)


async def test_a_flooder_fills_its_own_outbox_and_messages_of_others_go_in_turn(
    group: SharingProcesses, server: FaultyServer
) -> None:
    members = await group.start(3, outbox=100)
    owner = await group.owner()
    flooder = next(process for process in members if process is not owner)
    others = [process for process in members if process is not flooder]
    (connection,) = server.connections
    connection.stop_reading()
    # More than the kernel takes, and than the flooder's outbox does.
    flood = asyncio.ensure_future(flooder.do("send many", name="flood", count=400, size=25_000))
    await flooder.until(lambda report: report["event"] == "refused" and report["reason"] == "OutboxFull")
    singles = [asyncio.ensure_future(process.do("send", message="single")) for process in others]
    for process in others:
        assert await process.do("connect") == "ALREADY_CONNECTED"  # so the owner has the message as well
    connection.resume()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*singles)
        ended = await flood
    assert ended == {"sent": ended["sent"], "OutboxFull": 400 - ended["sent"]}
    await server.wait_until(lambda counts: counts.messages_received == ended["sent"] + 2, DEADLINE)
    names = [str(message).split()[0] for message in server.received]
    assert names.count("single") == 2
    assert names[::-1].index("single") > 90, "what waited of the flooder goes behind them"
    assert_single_connection(server)


async def test_a_process_that_does_not_read_harms_nobody(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(3, host={"buffer": 65_536})
    owner = await group.owner()
    slow, quick = [process for process in processes if process is not owner]
    slow.signal(signal.SIGSTOP)
    for number in range(3000):
        await server.broadcast(f"{number:05}" + "x" * 1000)
        if number % 30 == 29:  # half of what may wait for a process that does read
            await quick.got(f"{number:05}" + "x" * 1000)
    await owner.got("02999" + "x" * 1000)
    assert len(quick.messages) == 3000
    slow.signal(signal.SIGCONT)
    gap = await slow.until(lambda report: report["event"] == "gap")
    assert gap["reason"] == "overflow"
    await server.broadcast("after")
    await slow.got("after")
    gaps = [report["missed"] for report in slow.said if report["event"] == "gap"]
    assert sum(gaps) > 0
    assert len(slow.messages) + sum(gaps) == 3001
    assert_single_connection(server)


async def test_a_process_that_does_not_read_hears_of_the_connection_that_was_lost_meanwhile(
    group: SharingProcesses, server: FaultyServer
) -> None:
    processes = await group.start(2, host={"buffer": 2**20})  # several reads of the owner's, which are evicted whole
    owner = await group.owner()
    (slow,) = [process for process in processes if process is not owner]
    slow.signal(signal.SIGSTOP)
    for number in range(4000):
        await server.broadcast(f"{number:05}" + "x" * 1000)
    await owner.got("03999" + "x" * 1000)
    server.kill_connections()
    await group.connected(2, [owner])
    await group.all_receive("on the second connection", [owner])
    slow.signal(signal.SIGCONT)
    await group.all_receive("after", processes)
    gaps = [(report["reason"], report["epoch"], report["missed"]) for report in slow.said if report["event"] == "gap"]
    ends = ["on the second connection", "after"]
    first = [message for message in slow.messages if message not in ends]
    assert gaps == [("overflow", 1, 4000 - len(first)), ("reconnected", 2, None)]
    assert first[-1] == "03999" + "x" * 1000  # the newest were kept, from before the loss and after it
    assert slow.messages == [*first, *ends]
    assert_single_connection(server)


async def test_a_held_process_keeps_some_and_is_told_of_the_rest(group: SharingProcesses, server: FaultyServer) -> None:
    processes = await group.start(2, host={"buffer": 1000})
    for process in processes:
        mark = len(process.said)
        await process.do("hold")
        await server.broadcast("a" * 600)
        await server.broadcast("b" * 600)
        await server.broadcast("c" * 600)
        await process.do("send", message="an answer comes after what was sent before")
        await process.do("release")
        gap = await process.until(lambda report: report["event"] == "gap", mark)
        assert gap["missed"] == 2
        await group.all_receive("d", processes)
        assert [m for report in process.said[mark:] if report["event"] == "messages" for m in report["batch"]] == [
            "a" * 600,
            "d",
        ]


async def test_subscriptions_are_merged_and_replayed(group: SharingProcesses, server: FaultyServer) -> None:
    owner, follower, third = await group.start(3, protocol="topics")
    while owner is not await group.owner():
        owner, follower, third = follower, third, owner
    await owner.do("want", keys=["a"])
    await follower.do("want", keys=["a", "b"])
    await third.do("want", keys=["b"])
    await third.do("send", message="sync")
    await follower.do("send", message="sync")
    assert [m for m in server.received if m != '"sync"'] == ['{"subscribe": ["a"]}', '{"subscribe": ["b"]}']
    await follower.do("unwant", keys=["b"])
    third.kill()
    await server.wait_until(lambda counts: counts.messages_received == 5, DEADLINE)
    assert server.received[-1] == '{"unsubscribe": ["b"]}'
    owner.kill()
    await server.wait_until(lambda counts: counts.messages_received == 6, DEADLINE)
    assert server.received[-1] == '{"subscribe": ["a"]}'


async def test_a_refusal_reaches_the_processes_that_wanted_the_key_and_no_later_owner_asks_for_it(
    group: SharingProcesses, server: FaultyServer
) -> None:
    owner, follower, third = await group.start(3, protocol="declared", key="k")
    while owner is not await group.owner():
        owner, follower, third = follower, third, owner
    await owner.do("want", keys=["a"])
    await follower.do("want", keys=["x", "b"])
    await third.do("want", keys=["x"])
    await third.do("send", message="sync")  # behind what it wants
    await server.wait_until(lambda _: server.history[0].subscriptions.keys == {"a", "b", "x"}, DEADLINE)
    server.connections[0].send_nowait('{"answer": "no", "keys": ["x"]}')
    for process in (follower, third):
        refused = await process.until(lambda report: report["event"] == "refused")
        assert (refused["keys"], refused["reason"]) == (["x"], "unknown or too many")
    owner.kill()
    await server.wait_until(lambda _: server.history[-1].subscriptions.keys == {"b"}, DEADLINE)
    await third.do("want", keys=["x"])
    await server.wait_until(lambda _: server.history[-1].subscriptions.keys == {"b", "x"}, DEADLINE)
    assert len(server.history) == 2
    assert not server.history[1].subscriptions.odd
    assert not [report for report in owner.said if report["event"] == "refused"]


# --- one state for all ----------------------------------------------------------------------------------------------


async def test_disconnect_holds_for_all_even_over_a_change_of_owners(
    group: SharingProcesses, server: FaultyServer
) -> None:
    processes = await group.start(3)
    owner = await group.owner()
    rest = [process for process in processes if process is not owner]
    await rest[0].do("disconnect")
    for process in processes:
        await process.until(lambda report: report.get("new") == "STOPPED")
        assert (await process.refused("connect"))["kind"] == "ManuallyDisconnected"
    owner.kill()
    for process in rest:
        assert (await process.refused("connect"))["kind"] == "ManuallyDisconnected"
        assert (await process.refused("send", message="no"))["kind"] == "ManuallyDisconnected"
    assert server.counts.upgraded == 1
    assert await rest[1].do("reconnect") == "OPENED"
    await group.all_receive("after", rest)
    for process in rest:
        assert [report["epoch"] for report in process.said if report["event"] == "gap"] == [2]
    assert_single_connection(server)


async def test_a_failed_first_connect_is_the_same_error_for_all(group: SharingProcesses, server: FaultyServer) -> None:
    await server.stop_listening()
    processes = await group.start(3, connect=False)
    errors = await asyncio.gather(*(process.refused("connect") for process in processes))
    assert {error["kind"] for error in errors} == {"ConnectionRefused"}
    await server.start()
    await asyncio.gather(*(process.do("connect") for process in processes))
    assert server.counts.handshakes == 1


async def test_processes_may_start_before_their_service(group: SharingProcesses, server: FaultyServer) -> None:
    await server.stop_listening()
    processes = await group.start(2, connect=False)
    waiting = [asyncio.ensure_future(process.do("connect_retrying")) for process in processes]
    refused = asyncio.ensure_future(processes[0].refused("connect"))
    assert (await refused)["kind"] == "ConnectionRefused"
    await server.start()
    await asyncio.gather(*waiting)
    assert server.counts.handshakes == 1


async def test_the_listing_shows_what_is_shared(group: SharingProcesses) -> None:
    processes = await group.start(3)
    owner = await group.owner()
    (one,) = await asyncio.to_thread(listing, str(group.directory))
    assert one.state is not None
    assert (one.url, one.pid, one.followers, one.state.name, one.epoch) == (
        group.server.url,
        owner.pid,
        len(processes) - 1,
        "CONNECTED",
        1,
    )
    owner.signal(signal.SIGSTOP)
    (one,) = await asyncio.to_thread(listing, str(group.directory), timeout=0.2)
    assert (one.answers, one.pid) == (False, owner.pid)


# --- whom not to trust ----------------------------------------------------------------------------------------------


async def test_leftovers_of_the_dead_are_no_hindrance(group: SharingProcesses, server: FaultyServer) -> None:
    left = paths_of(group)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left.socket))
    left.lock.write_text("999999999 1234 7\n")
    (process,) = await group.start(1)
    await group.connected(8, [process])  # its epochs go on
    assert_single_connection(server)


async def test_another_release_is_refused_by_name(group: SharingProcesses) -> None:
    await group.start(1)
    (other,) = await group.start(1, connect=False, speaks=99)
    error = await other.refused("connect")
    assert error["kind"] == "VersionMismatch"
    assert "99" in error["text"]
    assert f"protocol {frames.PROTOCOL_VERSION}" in error["text"]


async def test_another_token_is_refused_and_never_shown(group: SharingProcesses) -> None:
    await group.start(1, key="me", client={"token": "first-secret"})
    (other,) = await group.start(1, connect=False, key="me", client={"token": "other-secret"})
    error = await other.refused("connect")
    assert error["kind"] == "TokenMismatch"
    assert "secret" not in error["text"]
    assert all("secret" not in path.name for path in group.directory.iterdir())
    assert all(b"secret" not in path.read_bytes() for path in group.directory.iterdir() if path.is_file())


async def test_another_password_is_refused_and_never_shown(group: SharingProcesses, server: FaultyServer) -> None:
    alice, bob = (server.url.replace("ws://", f"ws://{info}@") for info in ("alice:first-secret", "bob:other-secret"))
    await group.start(2, key="me", url=alice)
    (other,) = await group.start(1, connect=False, key="me", url=bob)
    error = await other.refused("connect")
    assert error["kind"] == "TokenMismatch"
    assert "secret" not in error["text"]
    assert all(b"secret" not in path.read_bytes() for path in group.directory.iterdir() if path.is_file())


async def test_a_follower_in_a_hurry_goes_by_the_heartbeat_of_its_owner(
    group: SharingProcesses, server: FaultyServer
) -> None:
    await group.start(1, host={"heartbeat": 30.0, "stopped_after": 60.0})
    hasty = {"heartbeat": 0.02, "stopped_after": 0.04, "on_stopped": "take-over"}
    (follower,) = await group.start(1, host=hasty)
    mark = len(follower.said)
    with pytest.raises(TimeoutError):  # it would have taken over by now
        async with asyncio.timeout(0.5):
            await follower.until(lambda _: True, mark)
    assert server.counts.handshakes == 1
    assert_single_connection(server)


async def test_a_hung_upgrade_is_told_as_that(group: SharingProcesses) -> None:
    async with FaultyServer(faults=Fault.slow_upgrade(60)) as hung:
        options = {"open_timeout": 0.1, "close_timeout": 0.1}
        (process,) = await group.start(1, connect=False, url=hung.url, client=options)
        error = await process.refused("connect")
    assert error["kind"] == "OpenTimeout"
    assert "open_timeout" in error["text"]


async def test_nonsense_on_the_socket_harms_nobody(group: SharingProcesses) -> None:
    processes = await group.start(2)
    address = str(paths_of(group).socket)
    hello = frames.encode_ipc_frame(frames.Hello(frames.PROTOCOL_VERSION, "0", b"wrong"))
    for junk in (
        os.urandom(5000),
        struct.pack("!I", 2**31),
        struct.pack("!I", 3) + b"\xc1\xc1\xc1",
        frames.encode_ipc_frame(frames.SendMessages(1, ["not introduced"])),
        hello,
        b"",
    ):
        reader, writer = await asyncio.open_unix_connection(address)
        writer.write(junk)
        async with asyncio.timeout(DEADLINE):
            await reader.read()  # to its end: hung up on, at the latest when it has said nothing for too long
        writer.close()
    await group.all_receive("unharmed", processes)
    assert (await asyncio.to_thread(listing, str(group.directory)))[0].followers == 1


_OTHER_USER = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX)
os.setuid(65534)
sock.connect(sys.argv[1])
data = b""
while chunk := sock.recv(65536):
    data += chunk
sys.stdout.buffer.write(data)
"""


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that other users could enter: pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        Path(base).chmod(0o755)
        directory = Path(base, "run")
        directory.mkdir(mode=0o700)
        yield directory


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
async def test_another_user_is_refused(server: FaultyServer, public_directory: Path) -> None:
    async with SharingProcesses(server, public_directory) as group:
        processes = await group.start(2)
        address = paths_of(group).socket
        os.chmod(public_directory, 0o755)  # noqa: PTH101, S103 - as if somebody had opened it to all
        os.chmod(address, 0o777)  # noqa: PTH101, S103
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OTHER_USER, str(address), stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(DEADLINE):
            said, _ = await child.communicate()
        (body,) = frames.FrameSplitter().feed(said)
        refused = frames.decode_owner_frame(body)
        assert isinstance(refused, frames.Rejection)
        assert isinstance(refused.error, ForeignUser)
        await group.all_receive("unharmed", processes)
        (late,) = await group.start(1, connect=False)
        assert late.said[0]["kind"] == "NoRuntimeDirectory"


# --- all of it at once ----------------------------------------------------------------------------------------------


async def test_a_dozen_ends_at_random_moments_under_load(group: SharingProcesses, server: FaultyServer) -> None:
    seed = int(os.environ.get("ONESOCKET_SEED", random.SystemRandom().randrange(2**32)))
    print(f"ONESOCKET_SEED={seed}")  # noqa: T201
    chance = random.Random(seed)
    processes = await group.start(4)
    sent: dict[str, tuple[WorkerProcess, int]] = {}
    times: list[float] = []
    async with group.load():
        for turn in range(12):
            for number in range(20):
                sender = chance.choice(processes)
                text = f"{turn}-{number}"
                named = {"id": text} if chance.random() < 0.3 else {}
                sent[text] = sender, sender.tell("send", message=text, **named)
            owner = await group.owner()
            await asyncio.sleep(chance.random() * 0.02)  # the random moment
            rest = [process for process in processes if process is not owner]
            marks = [len(process.said) for process in rest]
            match chance.choice(("kill", "leave", "stop")):
                case "kill":
                    begun = time.monotonic()
                    owner.kill()
                    times.append(max(await asyncio.gather(*map(received_again_at, rest, marks))) - begun)
                    await owner.process.wait()
                case "leave":
                    await owner.do("close")
                    await asyncio.gather(*map(received_again_at, rest, marks))
                    await owner.process.wait()  # it takes no further order
                case _:
                    owner.signal(signal.SIGSTOP)
                    await asyncio.gather(*map(until_silent, rest))
                    marks = [len(process.said) for process in rest]
                    owner.signal(signal.SIGCONT)
                    await asyncio.gather(*map(goes_on, rest, marks))
                    continue
            processes = rest + await group.start(1)
    for text, (sender, number) in sent.items():
        if sender.process.returncode == -signal.SIGKILL:
            continue  # nobody is left to whom its fate could be told
        answer = await sender.answer(number)
        arrived = server.received.count(text)
        if answer["event"] == "done":
            assert arrived >= 1, (text, answer)
        else:
            assert answer["kind"] in ("DeliveryUnknown", "ClientClosed"), answer
            assert answer["kind"] == "DeliveryUnknown" or arrived == 0, (text, answer)
    print("fail-over times, ms:", [round(took * 1000) for took in sorted(times)])  # noqa: T201
    assert_single_connection(server)
