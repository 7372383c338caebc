"""The benchmarks run, and their tables have the right shape; how quick anything is, is not looked at."""

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from benchmarks import command, document, environment, import_cost, plan, plots, tables, targets, worker
from benchmarks.interprocess.workers import Daemon, Worker
from benchmarks.peers import command as peers_command
from benchmarks.peers.peer import PEERS as OTHERS
from benchmarks.peers.trial import ten_callers
from benchmarks.record import Cell, Record, Spread
from benchmarks.server_process import ROOT, ServerProcess, control
from benchmarks.subjects import (
    BARE,
    BARE_SERVER,
    CALLBACK,
    CHAT,
    CHAT_SEPARATE_SEQUENCES,
    CLUSTER_NATS,
    CLUSTER_REDIS,
    FAIL_OVER,
    INTERPROCESS,
    ITERATOR,
    JOIN_FOLLOWER,
    SHARED_RECEIVE,
    SHARED_SEND,
    SUBJECTS,
    MissingPeer,
    shared_connection,
)
from benchmarks.subjects.broadcast import BarePicowsServer
from benchmarks.subjects.interprocess import find_program
from benchmarks.worker_process import MeasurementFailed, WorkerProcess
from benchmarks.workload import Sample, Workload

# What the development environment has; the others run in `make bench`.
CLIENT_SUBJECTS = [CALLBACK, ITERATOR, BARE, "websockets", "picows.websockets"]
OWN_SUBJECTS = [name for name, kind in SUBJECTS.items() if kind.distribution == "onesocket" and "check" not in name]
LASTING_SUBJECTS = {name for name, kind in SUBJECTS.items() if kind.lasting}
SHARED = {**SHARED_RECEIVE, **SHARED_SEND}
OWN_INTERPROCESS = [name for name, kind in INTERPROCESS.items() if kind.distribution == "onesocket"]
SERVERS = [CHAT, CHAT_SEPARATE_SEQUENCES, BARE_SERVER, "aiohttp server", "websockets server, broadcast()"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ServerProcess() as server:
        yield server.url


def record_of_everything() -> Record:
    record = Record(environment.machine(), environment.versions(), {})
    for scenario in plan.SCENARIOS.values():
        for place, name in enumerate(scenario.subjects):
            for loop in ("asyncio", "uvloop"):
                cell = Cell(scenario.key, name, loop, 10)
                for turn in range(5):
                    cell.add(Sample((place + 1) * (turn + 9) * 1e-6, (place + 1) * 2e-5))
                record.cells.append(cell)
    for place, name in enumerate((CALLBACK, "aiohttp"), start=1):
        record.memory[name] = {"asyncio": [2048.0 * place], "uvloop": [2048.0 * place]}
    for place, name in enumerate(("onesocket", "websockets"), start=1):
        record.imports[name] = {"ms": [place * 1.0, place * 2.0], "modules": [3, 3]}
    return record


@pytest.mark.parametrize("size", [256, 8192, 70_000])
@pytest.mark.parametrize("name", CLIENT_SUBJECTS)
async def test_a_peer_receives_sends_and_echoes(url: str, name: str, size: int) -> None:
    for verb in ("receive", "send", "echo"):
        sample = await worker.measure(url, name, Workload(verb, 20, size))
        assert sample.wall > 0


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in OWN_SUBJECTS
        if name not in {*CLIENT_SUBJECTS, *LASTING_SUBJECTS, *SHARED} and not SUBJECTS[name].environment
    ],
)
async def test_our_own_subjects_do_their_work(url: str, name: str) -> None:
    scenario = next(scenario for scenario in plan.SCENARIOS.values() if name in scenario.subjects)
    sample = await worker.measure(url, name, Workload(scenario.verb, 2, scenario.size))
    assert sample.wall > 0


@pytest.mark.parametrize("name", [name for name in SHARED if name != JOIN_FOLLOWER])
async def test_a_connection_in_this_process_is_shared_and_does_all_work(url: str, name: str) -> None:
    for scenario in plan.SCENARIOS.values():
        if name in scenario.subjects:
            sample = await worker.measure(url, name, Workload(scenario.verb, 20, scenario.size))
            assert sample.cpu > 0
            assert sample.wall > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")
async def test_a_connection_of_another_process_is_shared_and_does_all_work(url: str) -> None:
    try:
        for verb in ("send", "latency", "in-flight", "echo"):
            sample = await worker.measure(url, JOIN_FOLLOWER, Workload(verb, 20, 256))
            assert sample.cpu > 0
            assert sample.wall > 0
    finally:
        await worker.close_lasting()


def test_no_more_are_in_flight_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_connection, "IN_FLIGHT", 3)
    client = SlowClient()
    subject = shared_connection.ClientTraffic("")
    subject.client, subject.messages = client, client.answer()  # type: ignore[assignment]
    asyncio.run(subject.send_in_flight(10, "x"))
    assert client.sent == 10
    assert client.most == 3


class SlowClient:
    """Sends a message when its delivery is awaited."""

    def __init__(self) -> None:
        self.sent = self.waiting = self.most = 0

    async def send(self, payload: str) -> None:
        del payload

    def send_nowait(self, payload: str) -> "SlowDelivery":
        del payload
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return SlowDelivery(self)

    async def answer(self) -> AsyncIterator[str]:
        yield "done"


class SlowDelivery:
    done = False

    def __init__(self, client: SlowClient) -> None:
        self.client = client

    def __await__(self) -> Generator[None]:
        yield
        self.client.waiting -= 1
        self.client.sent += 1


@pytest.mark.parametrize("name", [name for name, kind in SUBJECTS.items() if kind.environment])
def test_the_python_twin_is_measured_in_a_process_that_uses_it(url: str, name: str) -> None:
    with WorkerProcess(url, "asyncio", SUBJECTS[name].environment) as process:
        assert process.measure(name, Workload("receive", 20, 256)).wall > 0
    with (
        WorkerProcess(url, "asyncio", {"ONESOCKET_WIRE": "c"}) as process,
        pytest.raises(MeasurementFailed, match="not the one to be measured"),
    ):
        process.measure(name, Workload("receive", 20, 256))


@pytest.mark.parametrize("name", [CALLBACK, BARE, "websockets", "aiohttp"])
async def test_connections_are_opened_and_closed_one_after_another(url: str, name: str) -> None:
    subject = SUBJECTS[name](f"{url}/{name.replace(' ', '-')}")
    await subject.open()
    await subject.run(Workload("connect", 3))
    await subject.close()
    assert control(url, "COUNT", subject.url.removeprefix(url)) == 4


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_broadcasts_to_readers_that_stay(name: str) -> None:
    try:
        for _ in range(2):
            sample = await worker.measure("ws://127.0.0.1", name, Workload("broadcast", 5, 256))
            assert sample.cpu > 0
    finally:
        await worker.close_lasting()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")
@pytest.mark.parametrize("name", OWN_INTERPROCESS)
async def test_messages_go_from_one_process_to_four(name: str) -> None:
    try:
        for verb in ("burst", "paced"):
            sample = await worker.measure("ws://127.0.0.1", name, Workload(verb, 10, 256))
            assert sample.cpu > 0
            assert sample.wall > 0
    finally:
        await worker.close_lasting()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")
@pytest.mark.parametrize("name", [CLUSTER_REDIS, CLUSTER_NATS])
async def test_messages_go_from_one_host_to_four_and_the_engine_counts_its_commands(name: str) -> None:
    try:
        for scenario in plan.SCENARIOS.values():
            if name in scenario.subjects:
                sample = await worker.measure("ws://127.0.0.1", name, Workload(scenario.verb, 10, 256))
                assert sample.wall > 0
    finally:
        await worker.close_lasting()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")
async def test_a_killed_owner_is_replaced_by_one_new_connection() -> None:
    try:
        sample = await worker.measure("ws://127.0.0.1", next(iter(FAIL_OVER)), Workload("fail-over", 2, 256))
        assert len(sample.each) == 2
        assert sum(sample.each) == sample.wall
    finally:
        await worker.close_lasting()


async def test_a_process_that_can_not_begin_is_no_hang(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="has ended"):
        await Worker.start("bare", "consumer", str(tmp_path / "nobody"), "asyncio")


async def test_a_server_program_is_ended(tmp_path: Path) -> None:
    listens = "import socket,sys,time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
    daemon = Daemon([sys.executable, "-c", listens, "{port}"], str(tmp_path))
    await daemon.ready()
    await daemon.end()
    assert daemon.process.returncode is not None
    broken = Daemon([sys.executable, "-c", "raise SystemExit(3)"], str(tmp_path))
    with pytest.raises(ConnectionError, match="ended with 3"):
        await broken.ready()
    await broken.end()


def test_a_server_program_that_is_missing_is_named_with_its_remedy() -> None:
    with pytest.raises(MissingPeer, match="apt-get install -y no-such-server"):
        find_program("no-such-server")


async def test_a_server_that_sends_something_else_is_found_out() -> None:
    class Half(BarePicowsServer):
        async def broadcast(self, size: int) -> None:
            await super().broadcast(size // 2)

    server = Half("")
    await server.open()
    try:
        with pytest.raises(RuntimeError, match="Half sent 128 bytes for 256"):
            await server.warm_up(Workload("broadcast", 3, 256))
        with pytest.raises(ValueError, match="4 deliveries"):
            await server.run(Workload("broadcast", 4, 256))
    finally:
        await server.close()


async def test_readers_that_can_not_connect_are_no_hang() -> None:
    class Unknown(BarePicowsServer):
        dialect = "unknown"

    server = Unknown("")
    await server.open()
    try:
        with pytest.raises(ConnectionError, match="readers have ended"):
            await server.warm_up(Workload("broadcast", 3, 256))
    finally:
        await server.close()


async def test_the_server_counts_and_kills(url: str) -> None:
    subject = SUBJECTS[BARE](f"{url}/counted")
    await subject.open()
    assert control(url, "COUNT", "/counted") == 1
    assert control(url, "KILL", "/counted") == 1
    await subject.close()


@pytest.mark.parametrize("name", [CALLBACK, "aiohttp"])
async def test_memory_is_measured(url: str, name: str) -> None:
    assert isinstance(await worker.memory(url, name, 3), float)


def test_targets_of_memory_and_import_are_ratios_too() -> None:
    record = record_of_everything()
    shown = {row[0]: row[2:] for row in tables.target_table(record).rows}
    assert shown["2. memory of an idle client, over aiohttp's"][:2] == ["0.5× (0.5–0.5)", "yes"]
    assert shown["2. import, over websockets.asyncio.client"] == ["0.5× (0.5–0.5)", "yes", "–", "–"]


def test_a_run_fills_a_record(tmp_path: Path) -> None:
    record = Record()
    amount = plan.Amount(rounds=2, seconds=0.0001, callers=5, recoveries=1)
    plan.measure(record, ["join"], ["asyncio"], amount)
    assert [(cell.subject, len(cell.cpu)) for cell in record.cells] == [("connect()", 2), ("one shared Future", 2)]
    record.write(tmp_path / "bench.json")
    assert Record.read(tmp_path / "bench.json").cells[0].subject == "connect()"


def test_an_import_has_a_cost() -> None:
    assert import_cost.import_cost("import no_such_module") is None
    cost = import_cost.import_cost("import json")
    assert cost is not None
    assert cost[0] > 0


def test_a_peer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        raise MissingPeer("aiohttp is not installed here")

    monkeypatch.setattr(SUBJECTS["aiohttp"], "check", check)
    with pytest.raises(SystemExit, match="aiohttp is not installed"):
        command.run(command.options(["--quick", "--only", "receive-256"]))


def test_every_table_is_rectangular_and_every_target_has_its_row() -> None:
    record = record_of_everything()
    made = {table.key: table for table in tables.all_tables(record)}
    assert set(made) == {"targets", *plan.SCENARIOS, "memory", "imports", "environment"}
    for table in made.values():
        assert {len(row) for row in table.rows} == {len(table.head)}
        assert table.title in table.text()
    assert len(made["targets"].rows) == len(targets.TARGETS)
    for scenario in plan.SCENARIOS.values():
        assert {row[0] for row in made[scenario.key].rows} == set(scenario.subjects)


def test_a_target_is_judged_by_its_median() -> None:
    at_most = next(target for target in targets.TARGETS if not target.at_least)
    assert at_most.is_reached(Spread(at_most.bound, 0, 99))
    assert not at_most.is_reached(Spread(at_most.bound * 1.01, 0, 0))


def test_a_target_may_be_a_time_itself() -> None:
    latency = next(target for target in targets.TARGETS if target.below is None)
    cell = Cell(latency.scenario, latency.above, "asyncio", 1, cpu=[1.0, 1.0], wall=[20.0, 22.0])
    shown = {row[0]: row[1:] for row in tables.target_table(Record(cells=[cell])).rows}
    assert shown[f"8. {latency.text}"] == ["≤ 30 µs", "21 µs (20.5–21.5)", "yes"]


def test_some_scenarios_have_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    few = dataclasses.replace(plan.SCENARIOS["join"], most_rounds=1)
    monkeypatch.setitem(plan.SCENARIOS, "join", few)
    record = Record()
    plan.measure(record, ["join"], ["asyncio"], plan.Amount(rounds=2, seconds=0.0001, callers=5))
    assert [len(cell.cpu) for cell in record.cells] == [1, 1]


def test_ratios_are_taken_round_by_round() -> None:
    cells = [Cell("s", "a", "asyncio", 1, cpu=[2.0, 40.0, 6.0]), Cell("s", "b", "asyncio", 1, cpu=[1.0, 20.0, 1.0])]
    ratio = Record(cells=cells).ratio("s", "a", "b", "asyncio")
    assert ratio is not None
    assert ratio.median == 2.0


def test_the_charts_are_drawn_and_the_page_has_a_place_for_every_table() -> None:
    record = record_of_everything()
    drawn = plots.charts(record)
    assert len(drawn) == 2 * len(plan.SCENARIOS)
    assert all(svg.startswith("<svg") for svg in drawn.values())
    page = (ROOT / document.PAGE).read_text(encoding="utf-8")
    assert "| targets |" not in document.written(page, tables.all_tables(record))
    with pytest.raises(ValueError, match="once each"):
        document.written("nothing", tables.all_tables(record))


def test_the_page_shows_what_the_json_says() -> None:
    page = (ROOT / document.PAGE).read_text(encoding="utf-8")
    results = ROOT / command.RESULTS / "bench.json"
    if results.exists():
        assert document.written(page, tables.all_tables(Record.read(results))) == page
    peers = ROOT / peers_command.RESULTS
    if peers.exists():
        saved = json.loads(peers.read_text(encoding="utf-8"))
        shown = [
            peers_command.ten_table(saved["answers"], saved["versions"]),
            peers_command.closed_at_once_table(saved["answers"]),
        ]
        assert document.written(page, shown) == page


@pytest.mark.parametrize(("name", "handshakes"), [("onesocket", 1), ("websockets", 10)])
def test_ten_callers_are_counted_by_the_server(name: str, handshakes: int) -> None:
    peer = next(peer for peer in OTHERS if peer.name == name)
    answer = asyncio.run(ten_callers(peer, 0))
    assert answer["handshakes"] == handshakes
    assert answer["after_close"] == 0
    table = peers_command.ten_table({name: {"ten": answer}}, {name: "1"})
    assert len(table.rows[0]) == len(table.head)
