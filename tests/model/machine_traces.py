"""Traces of the Python machine as JSON lines, for the machine in JavaScript: each event with all that followed."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from onesocket.errors import OnesocketError
from onesocket.lifecycle import _guards
from onesocket.lifecycle._effects import Effect
from onesocket.lifecycle._events import Connect, Event
from onesocket.lifecycle._machine import Machine
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import AfterClose, State
from tests.model.environment import Environment, Scenario, SideSocket
from tools.js_table import camel

# fmt: off
_ATTRIBUTES: Final = (
    "state", "epoch", "last_epoch", "live_epoch", "opened", "after_close", "initiator", "waiting", "retrying",
    "failures", "refusals", "not_before", "has_place", "ghost_until", "meets_ghost", "inherits_outage", "away_since",
    "up_since", "timer", "timer_at", "error", "verdict", "stale", "side", "side_epoch", "side_opened", "side_has_place",
    "side_timer", "side_timer_at", "rotation_error", "retry_at",
)
_ERROR_ATTRIBUTES: Final = (
    "retryable", "retry_after", "refuses_token", "backs_off", "code", "reason", "status", "is_connection_limit",
    "retryable_once_established",
)
# fmt: on
DATA: Final = {name: camel(name) for name in _ATTRIBUTES}
"""The attributes of a machine that are compared, all of them, with their names in JavaScript."""


def error_data(error: OnesocketError | None) -> dict[str, Any] | None:
    """Return an error as plain data; what its kind doesn't have is left out."""
    if error is None:
        return None
    known = {camel(name): getattr(error, name) for name in _ERROR_ATTRIBUTES if hasattr(error, name)}
    cause = error.__cause__
    described = error_data(cause) if isinstance(cause, OnesocketError) else None
    return {"name": type(error).__name__, "text": str(error), "cause": described, **known}


def value_data(value: Any) -> Any:
    """Return a value of an event, an effect or a machine as plain data."""
    match value:
        case OnesocketError():
            return error_data(value)
        case enum.Enum():
            return value.value
        case (kind, epoch):
            return {"kind": kind, "epoch": epoch}
        case ReconnectPolicy():
            return {camel(field.name): getattr(value, field.name) for field in dataclasses.fields(value)}
        case _ if dataclasses.is_dataclass(value):
            return {camel(field.name): value_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return value


def typed_data(value: Event | Effect) -> dict[str, Any]:
    """Return an event or an effect as plain data with its name."""
    return {"type": type(value).__name__, **value_data(value)}


class TraceWriter:
    """Numbers machines, and keeps a line for each new one and each step of one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps = 0
        self._machines = 0
        self._write({"names": [*DATA.values()]})

    def add_machine(self, machine: Machine) -> int:
        """Note a new machine; returns its number."""
        options = {
            name: value_data(getattr(machine, name))
            for name in ("open_timeout", "close_timeout", "reconnect", "renews_token", "closes_first", "ghost_seconds")
        }
        options["max_token_requests"] = _guards.MAX_TOKEN_REQUESTS
        self._write({"machine": self._machines, "options": {camel(name): value for name, value in options.items()}})
        self._machines += 1
        return self._machines - 1

    def add_step(self, number: int, event: Event, now: float, before: Machine, kept: Machine | None) -> int:
        """Note an event at a machine, and what follows; returns the number of the machine after it, if it's kept.

        `kept`: that machine as the search goes on with it, which may have set `ghost_until` to 0.
        """
        self.steps += 1
        after = before.copy()
        effects = Machine.handle(after, event, now)  # not that of a class that records
        changes = {
            name: value_data(value)
            for attribute, name in DATA.items()
            if (value := getattr(after, attribute)) is not getattr(before, attribute)
        }
        line = {
            "from": number,
            "to": None if kept is None else self._machines,
            "event": typed_data(event),
            "now": now,
            "effects": [typed_data(effect) for effect in effects],
            "changes": changes,
        }
        if kept is not None:
            self._machines += 1
            line["set"] = {"ghostUntil": kept.ghost_until}
        self._write(line)
        return self._machines - 1

    def _write(self, line: dict[str, Any]) -> None:
        self.lines.append(json.dumps(line, separators=(",", ":")))


class ResumedEnvironment(Environment):
    """One whose first call resumes the connection of another owner: it knows nothing of that, and checks no promise."""

    def from_users(self) -> Iterator[Event]:
        is_first = self.machine.state is State.DISCONNECTED and self.machine.last_epoch == 0
        for event in super().from_users():
            if is_first == (isinstance(event, Connect) and event.resumes is not None):
                yield event

    def _check_answer(
        self,
        event: Event,
        effects: tuple[Effect, ...],
        old: State,
        after_close: AfterClose | None,
        side: SideSocket | None,
    ) -> None: ...

    def _reject(self, error: OnesocketError, event: Event, *, spares_retrying: bool) -> None:
        self.waiting_callers = self.retrying_callers = self.retrying_callers if spares_retrying else 0

    def check(self) -> None: ...


def trace_search(writer: TraceWriter, scenario: Scenario, kind: type[Environment] = Environment) -> None:
    """Search every condition of the machine in a scenario, and note each event in each of them once.

    Machines in one condition do the same with the same event (test_exhaustive.py), so once is enough.
    """
    start = kind.new(scenario)
    numbers = {start.machine.state_key(0.0): writer.add_machine(start.machine)}
    queue = deque([start])
    while queue:
        world = queue.popleft()
        machine = world.machine
        number = numbers[machine.state_key(world.now)]
        seen: set[object] = set()
        for event in (*world.from_users(), *world.from_connection_and_clock()):
            after = world.copy()
            after.step(event)
            key = after.machine.state_key(after.now)
            is_new = key not in numbers and after.machine.failures <= scenario.max_failures
            result = writer.add_step(number, event, after.now, machine, after.machine if is_new else None)
            if is_new:
                numbers[key] = result
                queue.append(after)
        for event in world.from_the_past():
            if type(event) not in seen:
                seen.add(type(event))
                writer.add_step(number, event, world.now, machine, None)
