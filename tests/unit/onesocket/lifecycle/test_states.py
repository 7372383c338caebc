"""The table: total, and made of names that mean something."""

from __future__ import annotations

import dataclasses

import pytest

from onesocket.lifecycle import _effects as effects
from onesocket.lifecycle import _events as events
from onesocket.lifecycle._events import EVENTS, Event
from onesocket.lifecycle._machine import _ACTIONS, _GUARDS
from onesocket.lifecycle._states import ILLEGAL, TABLE, NonTransition, Rule, State

RULES = [
    pytest.param(state, kind, cell, id=f"{state.name}-{kind.__name__}")
    for state, row in TABLE.items()
    for kind, cell in row.items()
    if not isinstance(cell, NonTransition)
]


def test_the_table_is_total_over_states_and_inputs() -> None:
    assert set(TABLE) == set(State)
    for state, row in TABLE.items():
        assert set(row) == set(EVENTS), state


def test_every_input_is_listed_once() -> None:
    assert set(EVENTS) == set(Event.__args__)
    assert len(EVENTS) == len(set(EVENTS))


def test_what_comes_from_a_socket_or_a_timer_carries_its_epoch() -> None:
    carries = {kind for kind in EVENTS if "epoch" in {field.name for field in dataclasses.fields(kind)}}
    assert carries == {*events.CONNECTION_EVENTS, events.TimerFired}


@pytest.mark.parametrize("kind", [*EVENTS, *effects.Effect.__args__])
def test_inputs_and_effects_are_frozen(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize(("state", "kind", "cell"), RULES)
def test_every_rule_has_known_names_and_the_last_one_always_holds(
    state: State, kind: type[Event], cell: tuple[Rule, ...]
) -> None:
    assert cell
    for rule in cell[:-1]:
        assert rule.when in _GUARDS
    assert cell[-1].when == "always"
    for rule in cell:
        assert set(rule.do) <= set(_ACTIONS)
        assert rule.to is not state, "a rule that stays has no target"


@pytest.mark.parametrize(("state", "kind", "cell"), RULES)
def test_a_rule_goes_to_closing_exactly_if_it_says_where_that_leads(
    state: State, kind: type[Event], cell: tuple[Rule, ...]
) -> None:
    for rule in cell:
        leads = [name for name in rule.do if name.startswith("lead_to_")]
        if rule.to is State.CLOSING:
            assert len(leads) == 1
        elif state is not State.CLOSING:
            assert not leads


def test_no_guard_or_action_is_without_use() -> None:
    rules = [rule for row in TABLE.values() for cell in row.values() if isinstance(cell, tuple) for rule in cell]
    assert {rule.when for rule in rules} == {*_GUARDS, "always"}
    assert {name for rule in rules for name in rule.do} == set(_ACTIONS)


@pytest.mark.parametrize("state", State)
def test_only_a_state_with_a_line_hears_from_one(state: State) -> None:
    has_line = state in (State.CONNECTING, State.CONNECTED, State.CLOSING)
    assert (TABLE[state][events.ConnectionGone] is not ILLEGAL) == has_line


def test_closed_is_final() -> None:
    for cell in TABLE[State.CLOSED].values():
        assert isinstance(cell, NonTransition) or all(rule.to is None for rule in cell)
