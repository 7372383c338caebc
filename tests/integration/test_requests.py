"""`request()` of every kind of client, over real sockets: ids are made where the connection is; the *server* counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from onesocket import (
    Client,
    Gap,
    Json,
    Msgpack,
    OnesocketError,
    ReconnectPolicy,
    Requests,
    SharedClient,
    State,
    Status,
    blocking,
    join,
)
from onesocket.client import Change
from onesocket.errors import ClientClosed, InvalidOption, RequestLost, RequestRefused, RequestTimeout
from onesocket.protocols import Protocol
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.host import HostOptions, HostUpstream
from onesocket.testing import FaultyServer
from tests.integration.test_client_parity import KINDS, Handle, open_handle
from tests.support.waiting import until

QUICK: dict[str, Any] = {"heartbeat": 0.2, "stopped_after": 1.5, "attach_timeout": 1.5}


def protocol() -> Json[Any]:
    return Json(requests=Requests(refused=lambda answer: answer.get("error")))


def open_requesting(kind: str, url: str, directory: Path) -> contextlib.AbstractAsyncContextManager[Handle]:
    named = {"key": "account"} if kind == "host" else {}  # its protocol has functions, which processes can't compare
    return open_handle(kind, url, directory, protocol=protocol(), **named)


def ids(server: FaultyServer) -> list[Any]:
    """The ids of all requests that the server has got."""
    return [json.loads(data)["id"] for data in server.received]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_client_gets_its_own_answers(server: FaultyServer, tmp_path: Path, kind: str) -> None:
    async with open_requesting(kind, server.url, tmp_path) as handle:
        answers = await asyncio.gather(
            *(handle.call(methodcaller("request", {"q": number, "id": "mine"})) for number in range(5))
        )
        assert answers == [{"q": number, "id": "mine"} for number in range(5)]
        assert sorted(ids(server)) == [1, 2, 3, 4, 5]
        with pytest.raises(RequestRefused) as refused:
            await handle.call(lambda client: client.request({"error": "no such pair"}))
        assert refused.value.answer["error"] == "no such pair"
        with pytest.raises(InvalidOption, match="timeout must be a number of seconds"):
            await handle.call(lambda client: client.request({}, timeout="1"))
        server.echo = False
        with pytest.raises(RequestTimeout) as late:
            await handle.call(lambda client: client.request({"q": 6}, timeout=0.05))
        assert late.value.was_sent
        await server.broadcast('{"id": 7, "q": 6}')
        await until(lambda: handle.client.stats.late_answers == 1)
        assert handle.client.stats.connection.late_answers == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_loss_is_told_unless_the_request_may_be_repeated(
    server: FaultyServer, tmp_path: Path, kind: str
) -> None:
    async with open_requesting(kind, server.url, tmp_path) as handle:
        server.echo = False
        lost = asyncio.ensure_future(handle.call(lambda client: client.request({"q": 1})))
        kept = asyncio.ensure_future(handle.call(lambda client: client.request({"q": 2}, resend=True)))
        await until(lambda: len(server.received) == 2)
        server.echo = True
        server.kill_connections()
        with pytest.raises(RequestLost):
            await lost
        assert (await kept)["q"] == 2
        assert [json.loads(data)["q"] for data in server.received].count(1) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_protocol_without_requests_is_told_at_once(server: FaultyServer, tmp_path: Path, kind: str) -> None:
    async with open_handle(kind, server.url, tmp_path, protocol=Json()) as handle:
        with pytest.raises(InvalidOption, match=r"Json\(requests=Requests\(id='id'\)\)"):
            await handle.call(lambda client: client.request({"q": 1}))


async def test_loops_and_threads_of_a_process_share_one_count(server: FaultyServer) -> None:
    def ask_in_thread() -> Any:
        with blocking.join(server.url, scope="process", protocol=shared) as client:
            return [client.request({"q": number, "id": 1}) for number in range(10)]

    shared = protocol()
    async with join(server.url, scope="process", protocol=shared) as client:
        own = asyncio.gather(*(client.request({"q": number, "id": 1}) for number in range(10)))
        others = await asyncio.gather(*(asyncio.to_thread(ask_in_thread) for _ in range(3)))
        assert [await own, *others] == [[{"q": number, "id": 1} for number in range(10)]] * 4
        assert sorted(ids(server)) == [*range(1, 41)]
        assert server.counts.most_sockets == 1


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_a_closed_client_does_not_wait_for_its_answer(server: FaultyServer, tmp_path: Path, scope: Any) -> None:
    server.echo = False
    options: dict[str, Any] = {"protocol": protocol(), "scope": scope, "key": "account"}
    if scope == "host":
        options["host_options"] = HostOptions(directory=str(tmp_path))
    async with join(server.url, **options) as stays:
        leaves: SharedClient[Any] = await join(server.url, **options)
        request = asyncio.ensure_future(leaves.request({"q": 1}))
        await until(lambda: len(server.received) == 1)
        await leaves.aclose()
        with pytest.raises(RequestLost):  # the server has it
            await request
        await server.broadcast('{"id": 1}')
        await until(lambda: stays.stats.late_answers == 1)


async def test_a_client_that_was_never_connected_leaves_nothing_behind(server: FaultyServer, tmp_path: Path) -> None:
    options: dict[str, Any] = {"protocol": protocol(), "scope": "host", "key": "account"}
    options["host_options"] = HostOptions(directory=str(tmp_path))
    client = join(server.url, **options).client()
    request = asyncio.ensure_future(client.request({"q": 1}))
    await until(lambda: client.shared.upstream.is_owner)
    await client.aclose()
    assert not client.shared.upstream.is_owner
    assert [*client.shared.upstream.file_descriptors()] == []
    with pytest.raises((ClientClosed, RequestLost)):
        await request


@pytest.mark.parametrize("scope", ["loop", "process"])
async def test_a_request_of_a_closed_client_that_was_not_sent_is_told_as_not_sent(
    server: FaultyServer, scope: Any
) -> None:
    client = join(server.url, scope=scope, protocol=protocol()).client()
    request = asyncio.ensure_future(client.request({"q": 1}))
    await until(lambda: "sending=1" in repr(client))
    await client.aclose()
    with pytest.raises(ClientClosed):
        await request


# --- processes: several upstreams stand for several processes ---------------------------------------------------------


class ProcessSink:
    """Takes what an upstream tells."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    def messages(self, batch: list[Any]) -> None:
        self.received += batch

    def gap(self, gap: Gap) -> None:
        """As after a loss."""

    def changed(self, change: Change, status: Status) -> None:
        """As it should."""

    def failed(self, error: OnesocketError) -> None:
        raise error


def make_process(server: FaultyServer, directory: Path, given: Protocol) -> HostUpstream:
    options: dict[str, Any] = {"protocol": given, "reconnect": ReconnectPolicy(initial=0.01, cap=0.05)}
    upstream = HostUpstream(
        ConnectionSpec(
            key=ConnectionKey.of(server.url, key="account"),
            options=options,
            protocol=given,
            make_client=lambda: Client(server.url, **options),
            host_options=HostOptions(directory=str(directory / "run"), **QUICK),
        )
    )
    upstream.attach(ProcessSink())
    return upstream


@contextlib.asynccontextmanager
async def open_processes(
    server: FaultyServer, directory: Path, given: Protocol, count: int = 3
) -> AsyncIterator[list[HostUpstream]]:
    upstreams = [make_process(server, directory, given) for _ in range(count)]
    try:
        for upstream in upstreams:
            await upstream.connect()
        yield upstreams
    finally:
        for upstream in reversed(upstreams):
            await upstream.aclose()


async def ask(upstream: HostUpstream, message: Any, timeout: float | None = 10, **options: Any) -> Any:
    return await upstream.request(message, timeout=timeout, **options)


@pytest.mark.parametrize(
    "given",
    [
        protocol(),
        Json(requests=Requests(make_id=str)),
        Msgpack(requests=Requests()),
        Msgpack(requests=Requests(make_id=lambda number: f"request {number}")),
    ],
    ids=["json", "json, texts", "msgpack", "msgpack, texts"],
)
async def test_processes_with_the_same_ids_get_their_own_answers(
    server: FaultyServer, tmp_path: Path, given: Protocol
) -> None:
    async with open_processes(server, tmp_path, given) as upstreams:
        assert [upstream.is_owner for upstream in upstreams] == [True, False, False]
        answers = await asyncio.gather(
            *(
                ask(upstream, {"q": [who, number], "id": 1})
                for who, upstream in enumerate(upstreams)
                for number in range(9)
            )
        )
        assert answers == [{"q": [who, number], "id": 1} for who in range(3) for number in range(9)]
        sent = [given.decode(data)["id"] for data in server.received]  # type: ignore[attr-defined]
        assert len(set(sent)) == 27
        assert server.counts.most_sockets == 1


async def test_a_followers_late_answer_is_dropped_where_the_connection_is(server: FaultyServer, tmp_path: Path) -> None:
    async with open_processes(server, tmp_path, protocol(), 2) as (owner, follower):
        server.echo = False
        with pytest.raises(RequestTimeout):
            await ask(follower, {"q": 1}, timeout=0.05)
        cancelled = asyncio.ensure_future(ask(follower, {"q": 2}))
        await until(lambda: len(server.received) == 2)
        cancelled.cancel()
        with pytest.raises(RequestLost):  # the server has it
            await cancelled
        await until(lambda: "pending=0" in repr(owner_requests(owner)))
        for number in (1, 2):
            await server.broadcast(json.dumps({"id": number}))
        await until(lambda: owner.connection_stats.late_answers == 2)
        await until(lambda: follower.connection_stats.late_answers == 2)


def owner_requests(owner: HostUpstream) -> Any:
    assert owner._owner is not None
    return owner._owner.client.internals.requests


async def test_a_followers_messages_and_requests_keep_their_order(server: FaultyServer, tmp_path: Path) -> None:
    async with open_processes(server, tmp_path, protocol(), 2) as (_, follower):
        sends = []
        for number in range(0, 10, 2):
            sends.append(asyncio.ensure_future(follower.send({"q": number})))
            sends.append(asyncio.ensure_future(ask(follower, {"q": number + 1})))
        await asyncio.gather(*sends)
        assert [json.loads(data)["q"] for data in server.received] == [*range(10)]


async def test_a_request_waits_for_the_first_owner(server: FaultyServer, tmp_path: Path) -> None:
    upstream = make_process(server, tmp_path, protocol())
    waits = asyncio.ensure_future(ask(upstream, {"q": 1}))
    await upstream.connect()
    assert (await waits)["q"] == 1
    await upstream.aclose()
    with pytest.raises(ClientClosed):
        await ask(upstream, {"q": 1})


@pytest.mark.parametrize("in_order", [True, False])
async def test_an_owner_that_ends_loses_a_request_unless_it_may_be_repeated(
    server: FaultyServer, tmp_path: Path, in_order: bool
) -> None:
    async with open_processes(server, tmp_path, protocol(), 2) as (owner, follower):
        server.echo = False
        lost = asyncio.ensure_future(ask(follower, {"q": 1}))
        kept = asyncio.ensure_future(ask(follower, {"q": 2}, resend=True))
        await until(lambda: len(server.received) == 2)
        server.echo = True
        assert owner._owner is not None
        if in_order:
            await owner.aclose()
        else:  # without a farewell, as the kernel ends the sockets of a process that is killed
            for connection in owner._owner._followers._attached:
                connection.abort()
        with pytest.raises(RequestLost):
            await lost
        assert (await kept)["q"] == 2


async def test_a_request_that_its_owner_had_not_sent_is_sent_by_the_next_one(
    server: FaultyServer, tmp_path: Path
) -> None:
    async with open_processes(server, tmp_path, protocol(), 2) as (owner, follower):
        await server.stop_listening(kill=True)
        await until(lambda: follower.status.state is not State.CONNECTED)
        waits = asyncio.ensure_future(ask(follower, {"q": 1}))
        assert owner._owner is not None
        queue = owner._owner._operations._pending_operations._queue
        await until(lambda: queue.count == 1)
        await owner.aclose()
        await server.start()
        assert (await waits)["q"] == 1
        assert len(server.received) == 1


async def test_a_cancelled_request_that_may_be_asked_twice_is_not_asked_again() -> None:
    async with FaultyServer(on_message=lambda *_: None) as server:
        async with join(server.url, protocol=protocol(), key="account") as client:
            asking = asyncio.create_task(client.request({"q": 1}, resend=True))
            await server.wait_until(lambda _: len(server.received) == 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(asking, 5)
            await client.send({"q": "end"})
            await server.wait_until(lambda _: len(server.received) == 2)
        assert [json.loads(data)["q"] for data in server.received] == [1, "end"]
