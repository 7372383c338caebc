"""Providers that share a connection over threads and processes. Real sockets; the *server* counts."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from onesocket import Client, Identity, Outcome, Provider, Raw, ReconnectPolicy, SharedClient, State, blocking, join
from onesocket.errors import TokenFailed, UsageError
from onesocket.notices import Notices
from onesocket.protocols._token import TokenQuery
from onesocket.sharing.host import HostOptions
from onesocket.testing import FaultyServer
from tests.campaigns.harness.worker_process import DEADLINE, WorkerProcess

WORKER = Path(__file__).with_name("provider_worker.py")
THREADS = 4
PROTOCOL = Raw(token_place=TokenQuery("token"))
FAST = ReconnectPolicy(initial=0.01, cap=0.05)


class TokenRecorder:
    """The server, and whose tokens it saw."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.server = FaultyServer(handler=self._handle)

    async def _handle(self, connection: Any) -> None:
        self.tokens += parse_qs(urlsplit(connection.request_path).query)["token"]
        async for message in connection:
            await connection.send(message)


@pytest.fixture
async def recorder() -> AsyncIterator[TokenRecorder]:
    recorder = TokenRecorder()
    async with recorder.server as server:
        yield recorder
        await server.wait_until(lambda counts: counts.sockets_now == 0)
        assert server.counts.most_open == 1


def make(recorder: TokenRecorder, auth: Any) -> Provider[SharedClient]:
    return Provider(
        lambda token: join(
            recorder.server.url,
            token=token,
            protocol=PROTOCOL,
            reconnect=FAST,
        ),
        auth=auth,
        notices=Notices(),
    )


async def test_providers_in_threads_share_one_connection_each_asked_on_its_own_loop(recorder: TokenRecorder) -> None:
    """The connection outlives the provider that opened it; then the provider of another thread is asked."""
    asked: dict[str, set[int]] = {}
    up, first_gone = threading.Barrier(THREADS), threading.Event()
    main = asyncio.get_running_loop()
    back = asyncio.Event()

    async def work(name: str) -> list[Any]:
        loop = asyncio.get_running_loop()

        async def auth() -> Identity:
            assert asyncio.get_running_loop() is loop
            asked.setdefault(name, set()).add(threading.get_ident())
            return Identity("alice", f"of-{name}")

        async with make(recorder, auth) as provider:
            outcomes = await asyncio.gather(*(provider.connect_if_authenticated() for _ in range(10)))
            assert provider.client is not None
            changes = provider.client.changes()  # before any thread goes on: one that is late would miss the loss
            await asyncio.to_thread(up.wait, DEADLINE)
            if name == "0":
                return outcomes
            assert await asyncio.to_thread(first_gone.wait, DEADLINE)
            async with asyncio.timeout(DEADLINE):
                await anext(each async for each in changes if each.new is State.CONNECTED and each.epoch > 1)
            main.call_soon_threadsafe(back.set)
            await provider.client.send(name)
            async for message in provider.client.subscribe():
                if message == "over":
                    break
        return outcomes

    def thread(name: str) -> list[Any]:
        outcomes = asyncio.run(work(name))
        if name == "0":
            main.call_soon_threadsafe(recorder.server.kill_connections)
            first_gone.set()
        return outcomes

    threads = [asyncio.create_task(asyncio.to_thread(thread, str(number))) for number in range(THREADS)]
    async with asyncio.timeout(DEADLINE):
        await back.wait()
        while not all(task.done() for task in threads):
            await recorder.server.broadcast("over")
            await asyncio.sleep(0.05)
    outcomes = [outcome for task in threads for outcome in task.result()]
    assert len(recorder.tokens) == 2
    assert recorder.tokens[1] != "of-0", "its provider has left, and its loop is closed"
    assert all(len(idents) == 1 for idents in asked.values())
    assert outcomes.count(Outcome.OPENED) == 1


async def test_a_blocking_client_of_the_same_identity_shares_the_connection(recorder: TokenRecorder) -> None:
    source: list[Any] = []

    def share(token: Any) -> Any:
        source.append(token)
        return join(recorder.server.url, token=token, protocol=PROTOCOL)

    def other() -> Any:
        with blocking.join(recorder.server.url, token=source[0], protocol=PROTOCOL) as client:
            client.send("from a thread")
            return client.receive(DEADLINE)

    async with Provider(share, auth=lambda: Identity("alice", "s3cret"), notices=Notices()) as provider:
        await provider.connect_if_authenticated()
        assert await asyncio.to_thread(other) == "from a thread"
    assert recorder.tokens == ["s3cret"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")
async def test_providers_in_processes_share_one_connection(recorder: TokenRecorder, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    setup = {"url": recorder.server.url, "directory": str(directory)}
    a, b, c = processes = [await WorkerProcess.start(WORKER, {**setup, "name": name}) for name in "abc"]
    try:
        assert await a.do("connect") == "OPENED"
        assert [await b.do("connect"), await c.do("connect")] == ["ALREADY_CONNECTED"] * 2
        assert recorder.tokens == ["alice-from-a"]
        await all_receive(recorder, processes)

        # Who logs out leaves, whoever held the connection: the others go on, with a token of their own.
        marks = {process: len(process.said) for process in (b, c)}
        await a.do("logout")
        for process in (b, c):
            await process.until(lambda report: report["event"] == "gap", marks[process])
        assert (await a.refused("connect"))["kind"] == "ManuallyDisconnected"
        await all_receive(recorder, [b, c])
        assert len(recorder.tokens) == 2
        owner, other = (b, c) if recorder.tokens[1] == "alice-from-b" else (c, b)

        # A killed owner: as before.
        mark = len(other.said)
        owner.kill()
        await other.until(lambda report: report["event"] == "gap", mark)
        await all_receive(recorder, [other])
        assert recorder.tokens[2] == f"alice-from-{'c' if other is c else 'b'}"

        # Somebody logs in again, and is the only one left when the other one's session expires.
        assert await a.do("login") == "ALREADY_CONNECTED"
        await other.do("become", who=None)
        mark = len(a.said)
        recorder.server.kill_connections()
        await a.until(lambda report: report["event"] == "state" and report["new"] == "CONNECTED", mark)
        assert recorder.tokens[-1] == "alice-from-a"
        assert await other.do("look") is None
        assert await other.do("connect") == "NOT_AUTHENTICATED"
        await a.do("close")
    finally:
        for process in processes:
            await process.end()


async def all_receive(recorder: TokenRecorder, processes: list[WorkerProcess]) -> None:
    marks = [len(process.said) for process in processes]
    await recorder.server.broadcast("for all")
    await asyncio.gather(*(process.got("for all", mark) for process, mark in zip(processes, marks, strict=True)))


async def test_what_ends_the_loop_of_one_member_ends_nobody_elses(recorder: TokenRecorder) -> None:
    """SystemExit in a token source is the end of its own thread, and not that of all connections."""
    exits = threading.Event()
    up = threading.Event()

    def source() -> str:
        if exits.is_set():
            raise SystemExit
        return "thread's"

    async def stay() -> None:
        async with join(recorder.server.url, key="us", token=source, protocol=PROTOCOL, reconnect=FAST):
            up.set()
            await asyncio.get_running_loop().create_future()

    def run() -> None:
        with pytest.raises(SystemExit):
            asyncio.run(stay())
        ended.set()

    ended = threading.Event()
    thread = threading.Thread(target=run)
    async with join(recorder.server.url, key="us", token=lambda: "main's", protocol=PROTOCOL, reconnect=FAST) as client:
        thread.start()
        assert await asyncio.to_thread(up.wait, DEADLINE)
        exits.set()
        changes = client.changes()
        recorder.server.kill_connections()
        async with asyncio.timeout(DEADLINE):
            await anext(change async for change in changes if change.new is State.CONNECTED)
        assert await asyncio.to_thread(ended.wait, DEADLINE)
        thread.join()
    assert recorder.tokens == ["main's", "main's"]


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
async def test_a_blocking_clients_source_may_block_and_even_exit(
    recorder: TokenRecorder, end: type[BaseException]
) -> None:
    """A blocking token source runs in a thread of its own: other connections neither wait for it nor end with it."""
    asked, go = threading.Event(), threading.Event()

    def source() -> str:
        asked.set()
        go.wait(DEADLINE)
        if threading.current_thread() is not threading.main_thread():
            raise end
        return "never"

    def blocked() -> str:
        try:
            blocking.join(recorder.server.url, key="blocked", token=source)
        except TokenFailed as error:
            return str(error)
        return "joined"

    waiting = asyncio.create_task(asyncio.to_thread(blocked))
    assert await asyncio.to_thread(asked.wait, DEADLINE)
    async with join(recorder.server.url, token="s3cret", protocol=PROTOCOL) as client:
        await client.send("not held up")
        go.set()
        assert end.__name__ in await waiting
        await client.send("and not ended")


async def test_a_client_that_cannot_be_made_is_made_again_for_the_next(recorder: TokenRecorder, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    made: list[int] = []

    def make_client(token: str) -> Client:
        made.append(1)
        if len(made) == 2:  # the first is for its protocol
            raise ValueError(token)
        return Client(recorder.server.url, token=token, protocol=PROTOCOL)

    client = join(
        recorder.server.url,
        token="s3cret",
        scope="host",
        client_factory=make_client,
        host_options=HostOptions(directory=str(directory)),
    ).client()
    with pytest.raises(UsageError, match="ValueError") as failure:
        await client.connect()
    assert "s3cret" not in str(failure.value)
    assert await client.connect() is Outcome.OPENED
    await client.aclose()


async def test_client_functions_run_under_no_lock(recorder: TokenRecorder) -> None:
    """One that joins something else, while others come and go, holds nobody up; whose client is quicker is used."""
    inside, go = threading.Event(), threading.Event()

    def slow() -> Client:
        inside.set()
        go.wait(DEADLINE)
        return Client(recorder.server.url, token="s3cret", protocol=PROTOCOL)

    def joins() -> None:
        blocking.join(recorder.server.url, key="slow", client_factory=slow).close()

    thread = asyncio.create_task(asyncio.to_thread(joins))
    assert await asyncio.to_thread(inside.wait, DEADLINE)
    async with asyncio.timeout(DEADLINE), join(recorder.server.url, token="s3cret", protocol=PROTOCOL):
        pass
    await recorder.server.wait_until(lambda counts: counts.sockets_now == 0)
    go.set()
    await thread
