"""Spans of a client, as OpenTelemetry's SDK exports them: on virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from onesocket import Client, Login, ReconnectPolicy, State
from onesocket.errors import ConnectionRefused
from onesocket.protocols import Json
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.host import HostOptions, HostUpstream
from onesocket.testing import FaultyServer
from onesocket.transports._memory import MemoryPeer, MemoryServer
from tests.support.waiting import until
from tests.unit.onesocket.instruments.exporters import Scrape, Telemetry, context_of, parent_id, span_id
from tests.unit.onesocket.sharing.host.test_batches import RecordingSink
from tests.unit.virtual_time import make_client, on_virtual_time

STATE = "onesocket_client_connection_state"
CONNECTED = {"onesocket_connection_state": "connected"}


@on_virtual_time
async def test_a_connection_is_linked_to_the_one_it_replaced() -> None:
    telemetry = Telemetry()
    server = MemoryServer()
    client = make_client(server, instruments=telemetry.instruments.named("feed"))
    await client.connect()
    await client.send("x")
    server.peers[-1].send("y")
    server.peers[-1].close(1012, "restart")
    await client.wait_for(State.BACKING_OFF)
    await client.wait_for(State.CONNECTED)
    await client.aclose()
    first, second = telemetry.named("connection")
    attempts = telemetry.named("connect")
    logins = telemetry.named("login")
    assert [span_id(one) for one in attempts] == [parent_id(first), parent_id(second)]
    assert [parent_id(one) for one in logins] == [span_id(one) for one in attempts]
    assert [parent_id(one) for one in attempts] == [None, None]
    assert [[link.context.span_id for link in span.links] for span in (first, second, *attempts)] == [
        *([], [span_id(first)]),
        *([], [span_id(first)]),
    ]
    assert first.attributes == {
        "server.address": "memory.test",
        "server.port": 80,
        "network.protocol.name": "websocket",
        "url.full": "ws://memory.test/",
        "onesocket.connection.name": "feed",
        "onesocket.connection.epoch": 1,
        "onesocket.connection.received_messages": 1,
        "onesocket.connection.sent_messages": 1,
        "error.type": "ClosedByPeer",
    }
    assert first.status.status_code is StatusCode.ERROR
    assert "1012" in str(first.status.description)
    assert second.status.status_code is StatusCode.UNSET  # closed by the program
    assert second.attributes is not None
    assert second.attributes["onesocket.connection.received_messages"] == 0
    assert {span.kind for span in telemetry.spans} == {SpanKind.CLIENT}
    assert {span.name for span in telemetry.spans} == {"onesocket.connect", "onesocket.login", "onesocket.connection"}


@on_virtual_time
async def test_spans_have_the_url_of_their_own_attempt() -> None:
    telemetry = Telemetry()
    urls = iter(["ws://one.test/?key=secret", "ws://two.test/", "ws://three.test/"])

    def dial(peer: MemoryPeer) -> None:
        if peer.request.address.host == "two.test":
            peer.refuse(ConnectionRefused("refused"))
        else:
            peer.accept()

    server = MemoryServer(dial)
    client = Client(lambda: next(urls), transport=server.transport(), instruments=telemetry.instruments)
    await client.connect()
    server.peers[-1].close(1012)
    await client.wait_for(State.BACKING_OFF)
    await client.wait_for(State.CONNECTED)
    await client.aclose()
    for name, shown in (
        ("connect", ["one", "two", "three"]),
        ("login", ["one", "three"]),
        ("connection", ["one", "three"]),
    ):
        spans = [span.attributes or {} for span in telemetry.named(name)]
        assert [span["server.address"] for span in spans] == [f"{host}.test" for host in shown]
        assert [str(span["url.full"]).partition("?")[0] for span in spans] == [f"ws://{host}.test/" for host in shown]


@on_virtual_time
async def test_each_failed_attempt_is_a_span_with_its_error() -> None:
    telemetry = Telemetry()
    server = MemoryServer()
    client = make_client(server, reconnect=ReconnectPolicy(max_attempts=3), instruments=telemetry.instruments)
    await client.connect()
    server.on_dial = lambda peer: peer.refuse(ConnectionRefused("no server at memory.test:80"))
    server.peers[-1].drop()
    await client.wait_for(State.FAILED)
    (up,) = telemetry.named("connection")
    failed = telemetry.named("connect")[1:]
    assert len(failed) >= 2
    for span in failed:
        assert span.attributes is not None
        assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "ConnectionRefused")
        assert [link.context.span_id for link in span.links] == [span_id(up)]
    assert len(telemetry.named("login")) == 1  # no upgrade went through after the first
    await client.aclose()


@on_virtual_time
async def test_a_login_takes_as_long_as_the_server_needs() -> None:
    telemetry = Telemetry()

    def answer(peer: MemoryPeer, _: Any) -> None:
        asyncio.get_running_loop().call_later(0.5, peer.send, '"ok"')

    login = Login(request=lambda _: "hello", ready=lambda message: message == "ok")
    client = make_client(MemoryServer(on_message=answer), protocol=Json(login=login), instruments=telemetry.instruments)
    connecting = asyncio.get_running_loop().create_task(client.connect())
    await asyncio.sleep(0.25)
    assert telemetry.spans == []  # the login is under way
    await connecting
    assert [span.name for span in telemetry.spans] == ["onesocket.login", "onesocket.connect"]
    assert client.state is State.CONNECTED
    await client.aclose()


@on_virtual_time
async def test_a_connection_is_no_part_of_the_trace_of_its_first_caller() -> None:
    """A connection may outlive the request that asked for it by days."""
    telemetry = Telemetry()
    client = make_client(MemoryServer(), instruments=telemetry.instruments)
    request = TracerProvider(shutdown_on_exit=False).get_tracer("a program").start_span("request")
    with trace.use_span(request):
        await client.connect()
    await client.aclose()
    of_request = context_of(request).trace_id
    assert len(telemetry.spans) == 3
    assert of_request not in {context_of(span).trace_id for span in telemetry.spans}


@on_virtual_time
async def test_what_is_open_ends_with_a_client_that_is_forgotten() -> None:
    telemetry = Telemetry()
    server = MemoryServer()
    server.on_dial = lambda _: None
    client = make_client(server, instruments=telemetry.instruments)
    connecting = asyncio.get_running_loop().create_task(client.connect())
    await asyncio.sleep(0.1)
    await client.aclose()
    await asyncio.gather(connecting, return_exceptions=True)
    assert [span.name for span in telemetry.spans] == ["onesocket.connect"]


async def test_a_change_of_owners_is_a_hand_over_with_the_new_connection_in_it(tmp_path: Path) -> None:
    telemetry, scrape = Telemetry(), Scrape()
    instruments = [telemetry.instruments, scrape.instruments]
    async with FaultyServer() as server:

        def process() -> HostUpstream:
            options: dict[str, Any] = {"instruments": instruments, "ping_interval": None}
            spec = ConnectionSpec(
                key=ConnectionKey.of(server.url),
                options=options,
                protocol=Json(),
                make_client=lambda: Client(server.url, protocol=Json(), **options),
                host_options=HostOptions(directory=str(tmp_path / "run")),
            )
            upstream = HostUpstream(spec)
            upstream.attach(RecordingSink())
            return upstream

        owner, heir = process(), process()
        await owner.connect()
        await heir.connect()
        assert (owner.is_owner, heir.is_owner) == (True, False)
        roles = {"owner": 1, "follower": 1}
        assert {role: scrape.value(STATE, onesocket_connection_role=role, **CONNECTED) for role in roles} == roles
        await owner.send('"x"')
        await owner.aclose()
        await until(lambda: heir.is_owner and heir.status.state is State.CONNECTED)
        assert (heir.connection_stats.attempts, heir.connection_stats.sent, heir.connection_stats.gaps) == (2, 1, 1)
        assert scrape.value("onesocket_client_connection_attempts_total") == 2
        assert scrape.value("onesocket_client_gaps_total", onesocket_gap_reason="reconnected") == 1
        roles = {"owner": 1, "follower": 0}
        assert {role: scrape.value(STATE, onesocket_connection_role=role, **CONNECTED) or 0 for role in roles} == roles
        (hand_over,) = telemetry.named("hand_over")
        assert hand_over.attributes is not None
        assert hand_over.attributes["onesocket.connection.role"] == "owner"
        assert hand_over.attributes["onesocket.connection.epoch"] == 2
        assert hand_over.attributes["onesocket.hand_over.reason"] == "the process that held the connection let go of it"
        assert hand_over.status.status_code is StatusCode.UNSET
        attempts = telemetry.named("connect")
        assert [parent_id(one) for one in attempts] == [None, span_id(hand_over)]
        await heir.aclose()
    assert len(telemetry.named("connection")) == 2
