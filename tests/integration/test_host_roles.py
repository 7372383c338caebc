"""Roles of processes that share a connection: which one holds it, and how it is handed over in order."""

import asyncio
import contextlib
import dataclasses
import functools
import json
import operator
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from onesocket import State
from onesocket.cli._app import app
from onesocket.client import GapReason
from onesocket.errors import ClientClosed
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing.host import (
    HandOverRefused,
    HostUpstream,
    NoOwner,
    Own,
    OwnerSilent,
    hand_over,
    listing,
)
from onesocket.sharing.host import _hand_over as host_hand_over
from onesocket.sharing.host import _host_upstream as host_upstream
from onesocket.sharing.host import _membership as host_membership
from onesocket.sharing.host._ipc_frames import HandOverAnswer
from onesocket.sharing.host._listing import AskedOwner
from onesocket.sharing.host._owner_lock import OwnerLock
from onesocket.sharing.host._owner_operations import OwnerOperations
from onesocket.sharing.host._runtime_paths import RuntimePaths
from onesocket.testing import FaultyServer
from tests.support.host_processes import HostSink, make_upstream


class Processes:
    """Upstreams of one machine, each of which stands for a process."""

    def __init__(self, server: FaultyServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.connections = 1
        self._upstreams: list[HostUpstream] = []

    def make(self, own: str, host: dict[str, Any] | None = None, **options: Any) -> tuple[HostUpstream, HostSink]:
        host = {"own": own, **(host or {})}
        made = make_upstream(self.server.url, self.directory, key="mine", host=host, **options)
        self._upstreams.append(made[0])
        return made

    async def start(self, own: str) -> tuple[HostUpstream, HostSink]:
        upstream, sink = self.make(own)
        await upstream.connect()
        return upstream, sink

    async def aclose(self) -> None:
        for upstream in self._upstreams:
            await upstream.aclose()


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with FaultyServer(echo=False) as server:
        running = Processes(server, tmp_path / "run")
        yield running
        await running.aclose()
        assert server.counts.most_sockets <= running.connections


async def test_an_owner_hands_over_to_one_that_prefers_with_one_dial_and_one_gap(processes: Processes) -> None:
    first, sink = await processes.start("allow")
    other, other_sink = await processes.start("allow")
    prefers, prefers_sink = await processes.start("prefer")
    await prefers_sink.until(lambda: prefers.is_owner and prefers.status.state is State.CONNECTED)
    await asyncio.gather(first.send("one"), other.send("two"), prefers.send("three"))
    await processes.server.broadcast("after")
    for each in (sink, other_sink, prefers_sink):
        await each.until(functools.partial(operator.contains, each.received, "after"))
        assert [gap.reason for gap in each.gaps] == [GapReason.RECONNECTED]
    second, _ = await processes.start("prefer")
    assert prefers.is_owner
    assert processes.server.counts.handshakes == 2
    await prefers.aclose()
    await sink.until(lambda: sink.states[-1] is State.CONNECTED and second.is_owner)
    assert processes.server.counts.handshakes == 3
    assert processes.server.counts.close_codes == {1000: 2}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a stopped owner keeps no part of the lock")
async def test_an_owner_beside_a_stopped_one_keeps_the_connection_until_that_is_gone(processes: Processes) -> None:
    paths = RuntimePaths.of(ConnectionKey.of(processes.server.url, key="mine").digest(), str(processes.directory))
    stopped = OwnerLock.acquire(paths.ensure(), lambda _: None)
    assert stopped is not None
    stopped.note(1)
    hasty = {"heartbeat": 0.02, "stopped_after": 0.04, "attach_timeout": 0.04, "on_stopped": "take-over"}
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
        with paths.opened() as descriptor:
            listener.bind(paths.socket_address(descriptor))
        listener.listen()
        first, _ = processes.make("allow", host=hasty)
        await first.connect()
    prefers, sink = processes.make("prefer")  # waits for a stopped owner: it could not have the lock
    await prefers.connect()
    await processes.server.broadcast("one")
    await sink.until(lambda: sink.received == ["one"])
    assert [first.is_owner, prefers.is_owner, processes.server.counts.handshakes] == [True, False, 1]
    stopped.release()
    await sink.until(lambda: prefers.is_owner and sink.states[-1] is State.CONNECTED)
    assert processes.server.counts.handshakes == 2


async def test_a_process_that_never_owns_waits_for_one_that_may(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_membership, "MISSING_AFTER", 0.02)
    monkeypatch.setattr(host_upstream, "_OWNER_LOOKUP_SLACK", 0.0)
    waits, sink = processes.make("never", open_timeout=0.01, close_timeout=0.01)
    with pytest.raises(NoOwner, match="share --scope host") as caught:
        await waits.connect()
    assert caught.value.retryable
    assert isinstance(waits.status.last_error, NoOwner)
    assert processes.server.counts.handshakes == 0
    waiting = asyncio.ensure_future(waits.connect(retry=True))
    await sink.until(lambda: sink.states == [State.CONNECTING])
    assert sum("no process that may hold the connection is running" in text for text in caplog.messages) == 1
    owner, _ = await processes.start("allow")
    await waiting
    await waits.send("one")
    assert not waits.is_owner
    await owner.aclose()
    await sink.until(lambda: sink.states[-1] is State.CONNECTING)
    sending = asyncio.ensure_future(waits.send("two"))
    later, _ = await processes.start("allow")
    await sending
    assert later.is_owner
    assert sink.failures == []
    await processes.server.wait_until(lambda counts: counts.messages_received == 2)


async def call(function: Callable[[], Any]) -> Any:
    """Call a blocking function, while this loop serves as the other end."""
    return await asyncio.to_thread(function)


async def test_an_owner_hands_over_on_request(processes: Processes) -> None:
    directory, url = str(processes.directory), processes.server.url
    first, _ = await processes.start("prefer")
    with pytest.raises(HandOverRefused, match="no other process has joined"):
        await call(lambda: hand_over("mine", directory))
    _, never_sink = await processes.start("never")
    with pytest.raises(HandOverRefused, match=r'the others, 1, have joined with own="never"'):
        await call(lambda: hand_over(url, directory))
    (shown,) = await call(lambda: listing(directory))
    assert (shown.own, shown.next_owner, shown.key) == (Own.PREFER, None, "mine")
    next_one, _ = await processes.start("allow")
    now = await call(lambda: hand_over("mine", directory))
    assert (now.own, now.key, now.url) == (Own.ALLOW, "mine", shown.url)
    assert [first.is_owner, next_one.is_owner] == [False, True]
    await never_sink.until(lambda: never_sink.states[-1] is State.CONNECTED)
    assert [gap.reason for gap in never_sink.gaps] == [GapReason.RECONNECTED]
    assert processes.server.counts.handshakes == 2
    await next_one.aclose()
    await first.send("still here")
    assert first.is_owner


async def test_a_name_that_means_no_single_connection_is_an_error_that_lists_them(processes: Processes) -> None:
    directory = str(processes.directory)
    with pytest.raises(ValueError, match="has the URL, key or pid 'other'; there is: none"):
        await call(lambda: hand_over("other", directory))
    await processes.start("allow")
    with pytest.raises(ValueError, match=r"there is: ws://.* \(pid \d+, key 'mine'\)"):
        await call(lambda: hand_over("other", directory))
    url = processes.server.url
    second, _ = make_upstream(url, processes.directory, key="yours")
    await second.connect()
    with pytest.raises(ValueError, match=r"2 shared connections are named .*key 'mine'.*key 'yours'|.*yours.*mine"):
        await call(lambda: hand_over(url, directory))
    await second.aclose()
    with pytest.raises(HandOverRefused):
        await call(lambda: hand_over(url.replace("127", "user:password@127").removesuffix("/"), directory))
    with pytest.raises(ValueError, match=r"pid 'wss://elsewhere\.test/") as caught:
        await call(lambda: hand_over("wss://user:password@elsewhere.test/?token=password", directory))
    assert "password" not in str(caught.value)
    for name in (
        "wss://user:password@elsewhere.test:99999/",
        "https://elsewhere.test/?token=password",
        "elsewhere.test?token=password",
        "wss//user:password@elsewhere.test/#password",
    ):
        with pytest.raises(ValueError, match="elsewhere") as caught:
            await call(functools.partial(hand_over, name, directory))
        assert "password" not in str(caught.value)
    with pytest.raises(ValueError, match="pid 'alice@home'"):
        await call(lambda: hand_over("alice@home", directory))
    processes.connections = 2


async def test_a_process_that_leaves_with_its_owner_waits_for_no_other_one(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _ = await processes.start("allow")
    follower, sink = await processes.start("allow")
    await sink.until_state(State.CONNECTED)
    monkeypatch.setattr(OwnerOperations, "perform", lambda *_: None)  # the owner is too late for this message
    follower._close_timeout = 3600.0
    delivery = follower.post("not sent")
    leaving = asyncio.create_task(follower.aclose())
    await asyncio.sleep(0)
    assert not leaving.done()
    await owner.aclose()
    await leaving
    assert isinstance(delivery.error, ClientClosed)


async def test_an_owner_that_does_not_answer_is_told_of(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    await processes.start("allow")
    monkeypatch.setattr(host_hand_over, "ask_owner", lambda *_: None)
    with pytest.raises(OwnerSilent, match="does not answer"):
        await call(lambda: hand_over("mine", str(processes.directory)))


async def test_an_owner_that_has_the_connection_again_is_no_next_owner(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = await processes.start("allow")
    other, _ = await processes.start("allow")
    answer = AskedOwner(answer=HandOverAnswer(os.getpid() + 1))  # another process; here all have the same number
    (before,) = await call(lambda: listing(str(processes.directory)))
    listings = iter([before, before, None, dataclasses.replace(before, started=time.time())])
    monkeypatch.setattr(host_hand_over, "ask_owner", lambda *_: answer)
    monkeypatch.setattr(host_hand_over, "query_owner", lambda *_: next(listings))
    with pytest.raises(HandOverRefused, match=f"pid {os.getpid() + 1} did not take the connection"):
        await call(lambda: hand_over("mine", str(processes.directory)))
    assert [first.is_owner, other.is_owner] == [True, False]


async def command(*arguments: str) -> tuple[int, str, str]:
    """Run `onesocket status`; returns exit status, output and errors."""
    result = await call(lambda: CliRunner().invoke(app, ["status", *arguments]))
    return result.exit_code, result.stdout, result.stderr


async def test_the_command_shows_and_changes_the_owner_in_any_directory(processes: Processes) -> None:
    there = ("--directory", str(processes.directory))
    await processes.start("allow")
    status, _, errors = await command("--hand-over", "mine", *there)
    assert status == 1
    assert "no other process has joined" in errors
    await processes.start("allow")
    (row,) = json.loads((await command("--json", *there))[1])
    assert (row["key"], row["own"], row["next_owner"], row["pid"]) == ("mine", "allow", os.getpid(), os.getpid())
    status, output, _ = await command("--json", "--hand-over", processes.server.url, *there)
    assert status == 0
    (after,) = json.loads(output)
    assert after["epoch"] >= row["epoch"]
    assert after["started"] > row["started"]
    assert "OWN" in (await command(*there))[1]
    status, _, errors = await command("--hand-over", "other", *there)
    assert status == 2
    assert "there is: " in errors
    assert (await command("--hand-over", "other", "--watch", *there))[0] == 2


def test_the_hub_has_a_role_in_scope_host_alone() -> None:
    for arguments, words in (
        (["--own", "never"], "--own has no effect without --scope host"),
        (["--scope", "host", "--own", "always"], "--own is prefer or allow or never, not 'always'"),
    ):
        result = CliRunner().invoke(app, ["share", "ws://127.0.0.1:9/", *arguments])
        assert result.exit_code == 2
        assert words in result.stderr
