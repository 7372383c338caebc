"""Metrics of clients, as real SDKs export them: on virtual time and the transport in memory."""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
from collections import Counter
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from onesocket import Client, Identity, Json, Provider, State
from onesocket.client import Change
from onesocket.errors import ConnectionRefused, InvalidOption, UsageError
from onesocket.instruments import OpenTelemetry, Prometheus, Source, SourceKind
from onesocket.instruments._metrics import METRICS, label
from onesocket.transports._memory import MemoryPeer, MemoryServer
from tests.support.programs import output_of
from tests.unit.onesocket.instruments.exporters import Scrape, Telemetry, points_of
from tests.unit.onesocket_discord.client.memory_gateway import MemoryGateway
from tests.unit.virtual_time import make_client, on_virtual_time, settle

CONNECTED = {"onesocket_connection_state": "connected"}


async def lose_and_resume(client: Client, server: MemoryServer) -> None:
    server.peers[-1].close(1012, "restart")
    await client.wait_for(State.BACKING_OFF)
    await client.wait_for(State.CONNECTED)


@on_virtual_time
async def test_every_metric_says_what_happened_and_both_exporters_agree() -> None:
    scrape, telemetry = Scrape(), Telemetry()
    server = MemoryServer()
    client = make_client(
        server,
        protocol=Json(),
        ping_interval=1.0,
        instruments=[scrape.instruments.named("feed"), telemetry.instruments.named("feed")],
    )
    assert scrape.series() == {}  # a client that does nothing yet has nothing to report
    await client.connect()
    slow = client.subscribe(limit=2, overflow="drop_oldest")
    client.on(lambda _: 1 / 0)
    for text in ("1", "2", "3", "4", "no JSON"):
        server.peers[-1].send(text)
    await asyncio.sleep(1.5)  # one PING
    await client.send("ü")
    await lose_and_resume(client, server)
    server.peers[-1].stop_reading()
    waiting = [client.send_nowait("waits") for _ in range(3)]

    named = {"server_address": "memory.test", "server_port": "80", "onesocket_connection_name": "feed"}
    expected: dict[str, Any] = {
        "onesocket_client_connection_epoch": 2,
        "onesocket_client_connection_attempts_total": 2,
        "onesocket_client_connection_reconnects_total": 1,
        "onesocket_client_received_messages_total": 5,
        "onesocket_client_sent_messages_total": 2,
        "onesocket_client_dropped_messages_total": 4,
        "onesocket_client_outbox_size": 3,
        "onesocket_client_inbox_size": 2,
        "onesocket_client_rtt_seconds": client.status.rtt,
        "onesocket_client_callback_errors_total": 4,
    }
    for name, value in expected.items():
        assert (name, scrape.value(name, **named)) == (name, value)
    for state in State:
        labels = {"onesocket_connection_state": state.name.lower(), "onesocket_connection_role": "owner", **named}
        assert scrape.value("onesocket_client_connection_state", **labels) == (state is State.CONNECTED)
    gaps = {"reconnected": 1, "undecodable": 1, "overflow": client.stats.overflows}
    for reason, count in gaps.items():
        assert scrape.value("onesocket_client_gaps_total", onesocket_gap_reason=reason, **named) == count
    directions = {"receive": len("1234no JSON"), "transmit": len('"ü"'.encode()) + len('"waits"') * 1}
    for direction, count in directions.items():
        assert scrape.value("onesocket_client_io_bytes_total", network_io_direction=direction, **named) == count

    names = {metric.name: metric.series_name for metric in METRICS}
    translated = {
        (names[name], frozenset((label(key), text) for key, text in attributes)): value
        for (name, attributes), value in telemetry.points().items()
    }
    assert translated == scrape.series()
    own = {series for name, series in names.items() if ".cluster." not in name}  # test_cluster_metrics.py
    assert own == {name for name, _ in scrape.series()}
    await client.aclose()
    await asyncio.gather(*waiting, return_exceptions=True)
    slow.close()


def test_names_and_units_follow_the_conventions() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"onesocket\.client(\.[a-z]+(_[a-z]+)*)+", metric.name)
        assert "total" not in metric.name
        assert re.fullmatch(r"By|s|\{[a-z]+\}", metric.unit)  # UCUM
        assert re.fullmatch(r"[a-z_]+", metric.series_name)
        assert metric.series_name.endswith("_total") == (metric.prometheus_type == "counter")
        assert not metric.series_name.endswith(("_count", "_sum", "_bucket", "_info"))  # of other types
        assert metric.description.endswith(".")


@on_virtual_time
async def test_units_are_exported() -> None:
    telemetry = Telemetry()
    async with make_client(MemoryServer(), instruments=telemetry.instruments):
        units = telemetry.units()
    assert units == {metric.name: metric.unit for metric in METRICS if metric.name in units}
    assert units["onesocket.client.io"] == "By"


@on_virtual_time
async def test_clients_of_one_server_add_up_and_what_a_closed_one_counted_stays() -> None:
    scrape, telemetry = Scrape(), Telemetry()
    server = MemoryServer()
    clients = [make_client(server, instruments=[scrape.instruments, telemetry.instruments]) for _ in range(3)]
    await asyncio.gather(*(client.connect() for client in clients))
    await asyncio.gather(*(client.send("x") for client in clients))
    assert scrape.value("onesocket_client_connection_state", **CONNECTED) == 3
    assert scrape.value("onesocket_client_sent_messages_total") == 3
    await clients[0].aclose()
    await clients[1].disconnect()
    assert scrape.value("onesocket_client_connection_state", **CONNECTED) == 1
    assert scrape.value("onesocket_client_connection_state", onesocket_connection_state="stopped") == 1
    assert scrape.value("onesocket_client_connection_state", onesocket_connection_state="closed") == 0
    assert scrape.value("onesocket_client_sent_messages_total") == 3
    server.peers.clear()
    del clients[1]  # a disconnected client needn't be closed
    gc.collect()
    assert scrape.value("onesocket_client_connection_state", onesocket_connection_state="stopped") == 0
    assert scrape.value("onesocket_client_sent_messages_total") == 3
    assert [value for (name, _), value in telemetry.points().items() if name == "onesocket.client.sent.messages"] == [3]
    await clients[1].aclose()
    assert scrape.value("onesocket_client_sent_messages_total") == 3
    assert scrape.value("onesocket_client_connection_state", **CONNECTED) is None  # nothing has a state any more


@on_virtual_time
async def test_clients_that_come_and_go_take_no_memory_where_nothing_collects() -> None:
    scrape = Scrape()
    sources = scrape.instruments._sources  # pyright: ignore[reportPrivateUsage]
    for _ in range(400):
        async with make_client(MemoryServer(), instruments=scrape.instruments):
            pass
    assert len(sources._notes) < 300
    assert scrape.value("onesocket_client_connection_attempts_total") == 400


@on_virtual_time
async def test_a_source_that_is_gone_without_a_word_is_forgotten() -> None:
    scrape = Scrape()
    source = make_client(MemoryServer())
    scrape.instruments.add(source, SourceKind.CONNECTION)
    assert scrape.value("onesocket_client_connection_attempts_total") == 0
    del source
    gc.collect()
    assert scrape.value("onesocket_client_connection_attempts_total") == 0
    assert scrape.value("onesocket_client_connection_state", onesocket_connection_state="disconnected") is None
    assert "sources=0" in repr(scrape.instruments)


COUNTS = {
    "onesocket_client_connection_attempts_total": "onesocket.client.connection.attempts",
    "onesocket_client_received_messages_total": "onesocket.client.received.messages",
    "onesocket_client_sent_messages_total": "onesocket.client.sent.messages",
}


@on_virtual_time
async def test_each_server_of_a_client_with_several_has_what_it_counted_itself() -> None:
    """The function gives two servers in turn; every other attempt of the second is refused."""
    scrape, telemetry = Scrape(), Telemetry()
    sent: Counter[str] = Counter()
    received: Counter[str] = Counter()
    dials: Counter[str] = Counter()
    hosts = itertools.cycle(["one.test", "two.test"])

    def dial(peer: MemoryPeer) -> None:
        host = peer.request.address.host
        dials[host] += 1
        if host == "two.test" and dials[host] % 2:
            peer.refuse(ConnectionRefused("refused"))
        else:
            peer.accept(greeting=["hello", "again"])
            sent[host] += 2

    def take(peer: MemoryPeer, _: object) -> None:
        received[peer.request.address.host] += 1

    async def url() -> str:
        await asyncio.sleep(0.5)
        return f"ws://{next(hosts)}/"

    server = MemoryServer(dial, take)
    seen: list[tuple[str, float]] = []
    client = Client(url, transport=server.transport(), instruments=[scrape.instruments, telemetry.instruments])
    stream = client.subscribe(gaps=False)
    await client.connect()
    for number in range(4):
        await client.send("x")
        for _ in range(2):
            await anext(stream)
        if number % 2:
            await asyncio.sleep(0.1)  # not every connection is seen by a scrape
            seen += [(f"{name} {dict(labels)}", value) for (name, labels), value in scrape.series().items()]
        server.peers[-1].close(1012)
        await client.wait_for(State.BACKING_OFF)
        seen += [(f"{name} {dict(labels)}", value) for (name, labels), value in scrape.series().items()]
        await client.wait_for(State.CONNECTED)
    await client.aclose()
    assert set(dials) == {"one.test", "two.test"}
    points = telemetry.points()
    for (name, point), counts in zip(COUNTS.items(), (dials, sent, received), strict=True):
        for host, count in counts.items():
            assert (host, scrape.value(name, server_address=host)) == (host, count)
            labels = frozenset({("server.address", host), ("server.port", "80")})
            assert points[point, labels] == count
        assert len([each for each, _ in scrape.series() if each == name]) == 2
    counters = [(name, value) for name, value in seen if "_total" in name]
    for name in {name for name, _ in counters}:
        values = [value for each, value in counters if each == name]
        assert values == sorted(values), name


@on_virtual_time
async def test_the_objects_of_one_meter_provider_add_up() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    server = MemoryServer()
    clients = [
        make_client(server, instruments=[OpenTelemetry(meter_provider=provider), OpenTelemetry(metrics=False)])
        for _ in range(3)
    ]
    for client in clients:
        await client.connect()
        await client.send("x")
    assert [value for (name, _), value in points_of(reader).items() if name.endswith("sent.messages")] == [3]
    for client in clients:
        await client.aclose()
    assert [value for (name, _), value in points_of(reader).items() if name.endswith("sent.messages")] == [3]


GLOBAL_PROVIDER = """
import asyncio
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from onesocket import Client
from onesocket.instruments import OpenTelemetry
from onesocket.transports._memory import MemoryServer

async def send(instruments):
    async with Client("ws://memory.test/", transport=MemoryServer().transport(), instruments=instruments) as client:
        await client.send("x")

reader = InMemoryMetricReader()
before = OpenTelemetry()
provider = MeterProvider([reader], shutdown_on_exit=False)
metrics.set_meter_provider(provider)
for instruments in (before, OpenTelemetry(), OpenTelemetry(meter_provider=provider)):
    asyncio.run(send(instruments))
found = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
print([point.value for each in found if each.name.endswith("sent.messages") for point in each.data.data_points])
"""


async def test_objects_made_before_and_after_the_global_provider_add_up() -> None:
    assert await output_of("-c", GLOBAL_PROVIDER) == "[3]\n"


def test_one_registry_takes_one() -> None:
    registry = CollectorRegistry()
    first = Prometheus(registry)
    with pytest.raises(UsageError, match="give that to all clients"):
        Prometheus(registry)
    assert first.named("a") == first.named("a") != first.named("b")


@pytest.mark.parametrize("wrong", [Prometheus, "prometheus", 3, [OpenTelemetry], ["x"], {"a": 1}])
def test_other_objects_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidOption, match="instruments must be an object such as"):
        Client("ws://memory.test/", instruments=wrong)


class Broken:
    """Instruments of a program, all of whose methods fail."""

    def add(self, source: Source, kind: SourceKind) -> None:
        raise RuntimeError("add")

    def remove(self, source: Source) -> None:
        raise RuntimeError("remove")

    def changed(self, source: Source, change: Change) -> None:
        raise RuntimeError("changed")

    def opened(self, source: Source, epoch: int) -> None:
        raise RuntimeError("opened")


@on_virtual_time
async def test_instruments_that_fail_are_reported_and_harm_nothing(caplog: pytest.LogCaptureFixture) -> None:
    told: list[BaseException] = []
    scrape = Scrape()
    async with make_client(MemoryServer(), instruments=(Broken(), scrape.instruments), on_error=told.append) as client:
        await client.send("x")
        await settle()
        assert [str(error) for error in told] == ["add", "changed", "opened", "changed"]
        assert "Broken of instruments= failed: RuntimeError" in caplog.text
        assert scrape.value("onesocket_client_sent_messages_total") == 1
    assert client.stats.callback_errors == 7  # and CLOSING, CLOSED, remove


@on_virtual_time
async def test_no_secret_is_exported() -> None:
    """Of the URL only the address is: neither its path nor its query, its user info, or the token."""
    scrape, telemetry = Scrape(), Telemetry()

    def refuse(peer: MemoryPeer) -> None:
        peer.accept()
        peer.close(4003, "bad token s3cret for alice")

    server = MemoryServer(refuse)
    url = "ws://alice:pa55word@memory.test/p?key=qu3ry"
    client = Client(
        url, token="s3cret", transport=server.transport(), instruments=[scrape.instruments, telemetry.instruments]
    )
    await client.connect()
    await client.wait_for(State.BACKING_OFF)
    await client.aclose()
    shown = scrape.text + "".join(span.to_json() for span in telemetry.spans)
    for secret in ("s3cret", "pa55word", "qu3ry"):
        assert secret not in shown
    assert "memory.test" in shown


@on_virtual_time
async def test_a_discord_client_is_observed_by_its_heartbeats() -> None:
    scrape = Scrape()
    gateway = MemoryGateway()
    async with gateway.client(instruments=scrape.instruments) as client:
        await asyncio.sleep(60)
        assert client.status.rtt is not None
        assert scrape.value("onesocket_client_rtt_seconds") == client.status.rtt
        assert scrape.value("onesocket_client_connection_state", **CONNECTED) == 1


@on_virtual_time
async def test_the_clients_of_a_provider_add_up_over_its_users() -> None:
    scrape = Scrape()
    server = MemoryServer()
    users = ["ann", "bob"]

    def make(token: Any) -> Client[Any]:
        return make_client(server, token=token, instruments=scrape.instruments)

    async with Provider(make, auth=lambda: Identity(users[0], users[0])) as provider:
        await provider.login()
        users.pop(0)
        await provider.login()
        assert scrape.value("onesocket_client_connection_attempts_total") == 2
        assert scrape.value("onesocket_client_connection_state", **CONNECTED) == 1
