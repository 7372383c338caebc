"""The machine of the JavaScript client against that of Python: the same events, the same effects, state by state."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from onesocket.lifecycle._effects import Effect
from onesocket.lifecycle._events import Connect, EarlierConnection, Event
from onesocket.lifecycle._machine import Machine
from onesocket.lifecycle._retry import ReconnectPolicy
from tests.model import test_oracle
from tests.model.environment import LOST, NAMED, Environment, Scenario
from tests.model.machine_traces import DATA, ResumedEnvironment, TraceWriter, trace_search
from tests.model.test_exhaustive import SCENARIOS
from tests.support.node_script import run_script


def replay(writer: TraceWriter, path: Path) -> str:
    """Replay what was written; returns the number of steps, or the first difference."""
    path.write_text("\n".join(writer.lines), "utf-8")
    return run_script("replay_machine.mjs", path)


def recording_machine(writer: TraceWriter) -> type[Machine]:
    class RecordingMachine(Machine):
        """A machine that notes each of its steps."""

        number: int | None = None

        def handle(self, event: Event, now: float) -> tuple[Effect, ...]:
            number = writer.add_machine(self) if self.number is None else self.number
            before = self.copy()
            effects = super().handle(event, now)
            self.number = writer.add_step(number, event, now, before, self)
            return effects

    return RecordingMachine


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_event_in_every_condition_has_the_same_effects(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onesocket.lifecycle._guards.MAX_TOKEN_REQUESTS", 2)
    writer = TraceWriter()
    failures = 2 if name == "gives up" else 1
    trace_search(writer, replace(SCENARIOS[name], max_callers=1, max_failures=failures, jitters=(0.5,)))
    assert writer.steps > 2_000
    assert replay(writer, tmp_path / "traces") == f"{writer.steps} steps"


EARLIER = (
    EarlierConnection(),
    EarlierConnection(wait=3.0),
    EarlierConnection(wait=1.0, failures=2, away=9.0, back_off=4.0, error=LOST),
)


@pytest.mark.parametrize("earlier", EARLIER)
def test_the_connection_of_another_owner_is_resumed_in_the_same_way(earlier: EarlierConnection, tmp_path: Path) -> None:
    resumption = Connect(wait=False, retry=True, resumes=earlier)
    scenario = Scenario(
        policy=ReconnectPolicy(max_attempts=5),
        errors=(LOST, NAMED),
        calls=(Connect(), Connect(retry=True), resumption),
        max_callers=1,
        max_failures=earlier.failures + 1,
    )
    writer = TraceWriter()
    trace_search(writer, scenario, ResumedEnvironment)
    assert writer.steps > 500
    assert any('"inheritsOutage":true' in line for line in writer.lines) == (earlier.failures > 1)
    assert replay(writer, tmp_path / "traces") == f"{writer.steps} steps"


def test_every_attribute_of_a_machine_is_compared() -> None:
    machine = Environment.new(Scenario()).machine
    options = {"open_timeout", "close_timeout", "reconnect", "renews_token", "closes_first", "ghost_seconds"}
    kinds = [kind for kind in Machine.__mro__ if kind.__module__.startswith("onesocket.")]
    of_class = {
        name for kind in kinds for name, value in vars(kind).items() if not callable(value) and not name.startswith("_")
    }
    assert {name for name in {*vars(machine), *of_class} if not name.startswith("_")} - options == {*DATA, "is_resumed"}


def test_random_lives_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = TraceWriter()
    monkeypatch.setattr(test_oracle, "Machine", recording_machine(writer))
    lives = settings(
        max_examples=60, stateful_step_count=40, deadline=None, derandomize=True, database=None, phases=[Phase.generate]
    )
    run_state_machine_as_test(test_oracle.MachineAgainstOracle, settings=lives)
    assert writer.steps > 1_000
    assert replay(writer, tmp_path / "traces") == f"{writer.steps} steps"


CHANGES: Sequence[tuple[str, Callable[[str], str]]] = [
    ("effects", lambda line: line.replace('"type":"Dial","epoch":1', '"type":"Dial","epoch":2')),
    ("failures", lambda line: line.replace('"failures":1', '"failures":2')),
]


@pytest.mark.parametrize(("what", "change"), CHANGES)
def test_a_difference_is_found(what: str, change: Callable[[str], str], tmp_path: Path) -> None:
    writer = TraceWriter()
    trace_search(writer, replace(SCENARIOS["no reconnect"], max_callers=1, max_failures=1))
    del writer.lines[500:]
    changed = [change(line) for line in writer.lines]
    assert changed != writer.lines
    writer.lines = changed
    assert f'"what":"{what}"' in replay(writer, tmp_path / "traces")
