"""Events in front of the machine: each with all of its effects before the next, whatever an effect causes."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from onesocket.client._event_queue import EventQueue

Effects = dict[str, list[Callable[[Any], object] | str]]


class ScriptedMachine:
    """A machine whose events have these effects: names, or what an effect does to the queue."""

    def __init__(self, effects: Effects) -> None:
        self.log: list[str] = []
        self.state = SimpleNamespace(name="TEST")
        self._effects = effects
        machine, judge = cast("Any", self), cast("Any", SimpleNamespace(judged=lambda event, _: event))
        self.affinity = SimpleNamespace(is_inherited=False, check=lambda: SimpleNamespace(time=lambda: 7.0))
        self.queue = EventQueue(machine, judge, cast("Any", self.affinity), self._perform)

    def handle(self, event: Any, now: float) -> tuple[Any, ...]:
        """Note the event; returns its effects."""
        self.log.append(f"{event} at {now:g}")
        return tuple(self._effects.get(event, []))

    def _perform(self, effect: Any) -> None:
        if isinstance(effect, str):
            self.log.append(effect)
        else:
            effect(self.queue)


def test_events_that_an_effect_causes_come_behind_the_effects_beside_it() -> None:
    machine = ScriptedMachine({"a": [lambda queue: queue.dispatch("b"), "effect of a"], "b": ["effect of b"]})
    machine.queue.dispatch(cast("Any", "a"))
    assert machine.log == ["a at 7", "effect of a", "b at 7", "effect of b"]


def test_a_call_is_handled_at_once_and_its_effects_before_the_events_that_they_cause() -> None:
    machine = ScriptedMachine({"call": [lambda queue: queue.dispatch("b"), "effect"]})
    effects = machine.queue.handle(cast("Any", "call"))
    assert machine.log == ["call at 7"]
    machine.queue.perform_all(list(effects))
    assert machine.log == ["call at 7", "effect", "b at 7"]


def test_a_call_inside_of_an_effect_leaves_the_events_to_the_one_that_is_handled() -> None:
    def call(queue: EventQueue) -> None:
        queue.dispatch(cast("Any", "b"))
        queue.perform_all(list(queue.handle(cast("Any", "call"))))

    machine = ScriptedMachine({"a": [call, "effect of a"], "call": ["effect of the call"]})
    machine.queue.dispatch(cast("Any", "a"))
    assert machine.log == ["a at 7", "call at 7", "effect of the call", "effect of a", "b at 7"]


def test_what_is_due_then_comes_once_behind_all_effects_and_before_the_next_event() -> None:
    machine = ScriptedMachine({"a": [lambda queue: queue.dispatch("b"), lambda queue: queue.then(promoted), "effect"]})

    def promoted() -> None:
        machine.log.append("then")

    machine.queue.dispatch(cast("Any", "a"))
    assert machine.log == ["a at 7", "effect", "then", "b at 7"]


def test_a_forked_child_passes_nothing_on() -> None:
    machine = ScriptedMachine({})
    machine.affinity.is_inherited = True
    machine.queue.dispatch(cast("Any", "a"))
    assert machine.log == []


def test_an_effect_that_fails_keeps_no_later_event_from_being_handled() -> None:
    def fail(queue: EventQueue) -> None:
        raise KeyboardInterrupt

    machine = ScriptedMachine({"a": [lambda queue: queue.dispatch("b"), fail], "call": [fail]})
    with pytest.raises(KeyboardInterrupt):
        machine.queue.dispatch(cast("Any", "a"))
    with pytest.raises(KeyboardInterrupt):
        machine.queue.perform_all(list(machine.queue.handle(cast("Any", "call"))))
    machine.queue.dispatch(cast("Any", "c"))
    assert machine.log == ["a at 7", "call at 7", "b at 7", "c at 7"]
