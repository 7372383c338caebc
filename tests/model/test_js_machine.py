"""The machine of the JavaScript client against that of Python: the same events, the same effects, state by state."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from onesocket.lifecycle._effects import Effect
from onesocket.lifecycle._events import Event
from onesocket.lifecycle._machine import Machine
from tests.model import test_oracle
from tests.model.machine_traces import TraceWriter, trace_search
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
