"""The plan of the measurements: scenarios, amounts and order."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from .record import Cell, Record
from .server_process import ServerProcess
from .subjects import (
    BETWEEN_HOSTS,
    BROADCAST,
    CONNECT,
    COUNTED_BY_ENGINE,
    FAIL_OVER,
    FAN_OUT,
    FRAMES,
    INTERPROCESS,
    JOIN,
    KEYS,
    PEERS,
    RECOVER,
    REQUESTS,
    SHARED_RECEIVE,
    SHARED_SEND,
    MissingPeer,
    Subject,
)
from .worker_process import WorkerProcess
from .workload import Sample, Workload

_FIRST_COUNT: Final = 100
_MAX_COUNT: Final = 2_000_000
_LONG_ENOUGH: Final = 0.02
_MEMORY_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Scenario:
    """One table."""

    key: str
    title: str
    verb: str
    size: int
    subjects: Mapping[str, type[Subject]]
    most_rounds: int = 1_000
    """More rounds of the whole measure no more of this."""


_FEW_ROUNDS: Final = 5
SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.key: scenario
    for scenario in (
        Scenario("receive-256", "Receive 256 B in bursts", "receive", 256, PEERS),
        Scenario("receive-8192", "Receive 8 KiB in bursts", "receive", 8192, PEERS),
        Scenario("send-256", "Send 256 B", "send", 256, PEERS),
        Scenario("echo-256", "Echo 256 B, one at a time", "echo", 256, PEERS),
        Scenario("request-256", "Requests of 256 B and their answers, 100 at a time", "request", 256, REQUESTS),
        Scenario("frames-256", "The reader of frames alone: 256 B", "receive", 256, FRAMES),
        Scenario("fan-out", "One connection, many subscribers: 256 B in bursts", "receive", 256, FAN_OUT),
        Scenario("keys", "Dispatch to 1 000 keys: 256 B in bursts, without a socket", "receive", 256, KEYS),
        Scenario("connect", "Connect and close, one after another", "connect", 0, CONNECT),
        Scenario("join", "Concurrent callers of connect()", "join", 0, JOIN),
        Scenario("recover", "From trouble to CONNECTED", "recover", 0, RECOVER),
        Scenario("broadcast", "A server broadcasts 256 B to 1 000 readers", "broadcast", 256, BROADCAST),
        *(
            Scenario(f"shared-{verb}-{size}", title, verb, size, subjects, _FEW_ROUNDS)
            for verb, size, title, subjects in (
                ("receive", 256, "Receive 256 B in bursts over a shared connection", SHARED_RECEIVE),
                ("receive", 8192, "Receive 8 KiB in bursts over a shared connection", SHARED_RECEIVE),
                ("send", 256, "`await send()` of 256 B over a shared connection", SHARED_SEND),
                ("latency", 256, "The middle `await send()` of 256 B over a shared connection", SHARED_SEND),
                ("in-flight", 256, "`send_nowait()` of 256 B over a shared connection, 1 000 in flight", SHARED_SEND),
                ("echo", 256, "Echo 256 B over a shared connection, one at a time", SHARED_SEND),
            )
        ),
        Scenario("between-processes", "From one process to four, 256 B in bursts", "burst", 256, INTERPROCESS),
        Scenario(
            "between-processes-paced", "From one process to four, 256 B, 200 a second", "paced", 256, INTERPROCESS
        ),
        Scenario("between-hosts", "From one host to four, 256 B in bursts", "burst", 256, BETWEEN_HOSTS, _FEW_ROUNDS),
        Scenario(
            "between-hosts-paced",
            "From one host to four, 256 B, 200 a second",
            "paced",
            256,
            BETWEEN_HOSTS,
            _FEW_ROUNDS,
        ),
        Scenario(
            "engine-commands",
            "Commands that the engine counts, for each host and batch",
            "commands",
            256,
            COUNTED_BY_ENGINE,
            _FEW_ROUNDS,
        ),
        Scenario("fail-over", "From SIGKILL to all followers receiving again", "fail-over", 256, FAIL_OVER),
    )
}


@dataclass(frozen=True, slots=True)
class Amount:
    """The amounts: `seconds` of CPU for each measurement of messages, counts for the rest."""

    rounds: int = 7
    seconds: float = 0.25
    connects: int = 200
    callers: int = 100_000
    deliveries: int = 50_000
    recoveries: int = 3
    burst: int = 20_000
    paced: int = 200
    fail_overs: int = 3
    latencies: int = 2_000
    clients: int = 200
    imports: int = 7


QUICK: Final = Amount(
    rounds=2,
    seconds=0.005,
    connects=5,
    callers=500,
    deliveries=50,
    recoveries=1,
    clients=5,
    imports=2,
    burst=100,
    paced=20,
    fail_overs=1,
    latencies=20,
)
ProgressCallback = Callable[[str], None]


def available_subjects(subjects: Mapping[str, type[Subject]], missing: dict[str, str]) -> dict[str, type[Subject]]:
    """Return the subjects whose library is installed; the requirements of the others go to `missing`."""
    here: dict[str, type[Subject]] = {}
    for name, kind in subjects.items():
        try:
            kind.check()
        except MissingPeer as error:
            missing[name] = str(error)
        else:
            here[name] = kind
    return here


def measure(
    record: Record,
    scenarios: Iterable[str],
    loops: Iterable[str],
    amount: Amount,
    say: ProgressCallback = lambda _line: None,
) -> None:
    """Measure all scenarios: each round goes through all cells in a new order, so that noise hits all alike."""
    scenarios, loops = tuple(scenarios), tuple(loops)
    with ExitStack() as stack:
        server = stack.enter_context(ServerProcess())
        workers: dict[tuple[str, str, str], WorkerProcess] = {}

        def worker(name: str, kind: type[Subject], loop: str) -> WorkerProcess:
            """A long-lived process for each library on each loop, or for each subject that lasts."""
            key = (name if kind.lasting else kind.distribution, loop, str(kind.environment))
            if key not in workers:
                workers[key] = stack.enter_context(WorkerProcess(server.url, loop, kind.environment))
            return workers[key]

        cells: dict[str, list[tuple[Cell, WorkerProcess]]] = {}
        for key in scenarios:
            scenario = SCENARIOS[key]
            here = available_subjects(scenario.subjects, record.missing)
            cells[key] = [
                (_calibrated(worker(name, kind, loop), scenario, name, loop, amount), worker(name, kind, loop))
                for name, kind in here.items()
                for loop in loops
                if loop == "asyncio" or not kind.blocking
            ]
            say(f"{scenario.title}: {len(cells[key])} rows")
        for turn in range(amount.rounds):
            for key in (key for key in scenarios if turn < SCENARIOS[key].most_rounds):
                random.shuffle(cells[key])
                for cell, process in cells[key]:
                    work = Workload(SCENARIOS[key].verb, cell.count, SCENARIOS[key].size)
                    cell.add(process.measure(cell.subject, work))
            say(f"round {turn + 1} of {amount.rounds}")
    order = {name: place for scenario in SCENARIOS.values() for place, name in enumerate(scenario.subjects)}
    for key in scenarios:
        record.cells += sorted((cell for cell, _ in cells[key]), key=lambda cell: (order[cell.subject], cell.loop))


def measure_memory(record: Record, loops: Iterable[str], amount: Amount) -> None:
    """Idle clients, in a fresh process each time; each round in a new order."""
    here = available_subjects(PEERS, record.missing)
    cells = [(name, loop) for name in here for loop in loops if loop == "asyncio" or not here[name].blocking]
    sizes: dict[tuple[str, str], list[float]] = {cell: [] for cell in cells}
    with ServerProcess() as server:
        for _ in range(min(amount.rounds, _MEMORY_ROUNDS)):
            for name, loop in random.sample(cells, len(cells)):
                with WorkerProcess(server.url, loop, here[name].environment) as worker:
                    sizes[name, loop].append(worker.memory(name, amount.clients))
    for name, loop in cells:
        record.memory.setdefault(name, {})[loop] = sizes[name, loop]


def _calibrated(worker: WorkerProcess, scenario: Scenario, subject: str, loop: str, amount: Amount) -> Cell:
    counts = {
        "connect": amount.connects,
        "join": amount.callers,
        "recover": amount.recoveries,
        "broadcast": amount.deliveries,
        "burst": amount.burst,
        "commands": amount.burst,
        "paced": amount.paced,
        "fail-over": amount.fail_overs,
        "latency": amount.latencies,
    }
    fixed = counts.get(scenario.verb)
    count = fixed if fixed is not None else _FIRST_COUNT
    while fixed is None:
        sample: Sample = worker.measure(subject, Workload(scenario.verb, count, scenario.size))
        if sample.cpu >= min(_LONG_ENOUGH, amount.seconds) or count * 5 > _MAX_COUNT:
            count = max(10, min(_MAX_COUNT, int(count * amount.seconds / max(sample.cpu, 1e-6))))
            break
        count *= 5
    return Cell(scenario.key, subject, loop, count)


def print_progress(line: str) -> None:
    """Progress."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
