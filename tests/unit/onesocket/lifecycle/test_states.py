"""The table: total, and made of guards and actions that are all used."""

from __future__ import annotations

import dataclasses

import pytest

from onesocket.lifecycle import _effects as effects
from onesocket.lifecycle import _events as events
from onesocket.lifecycle._actions import Actions
from onesocket.lifecycle._events import EVENTS, Event
from onesocket.lifecycle._guards import Guards
from onesocket.lifecycle._side_actions import SideActions
from onesocket.lifecycle._side_table import SIDE_TABLE
from onesocket.lifecycle._states import AfterClose, Side, State
from onesocket.lifecycle._table import ILLEGAL, TABLE, NonTransition, Rule

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


def test_the_table_of_the_side_connection_is_total_over_its_states_and_events() -> None:
    assert set(SIDE_TABLE) == set(Side)
    for state, row in SIDE_TABLE.items():
        assert set(row) == {*events.CONNECTION_EVENTS, events.TimerFired}, state
        for cell in row.values():
            assert isinstance(cell, NonTransition) or all(rule.is_conditional for rule in cell[:-1])
            assert isinstance(cell, NonTransition) or not cell[-1].is_conditional
            assert (cell is ILLEGAL) == (state is Side.NONE), "without a side connection, its events are stale"


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
def test_only_the_last_rule_of_a_cell_always_holds(state: State, kind: type[Event], cell: tuple[Rule, ...]) -> None:
    assert cell
    assert all(rule.is_conditional for rule in cell[:-1])
    assert not cell[-1].is_conditional
    for rule in cell:
        assert rule.to is not state, "a rule that stays has no target"


@pytest.mark.parametrize(("state", "kind", "cell"), RULES)
def test_a_rule_goes_to_closing_exactly_if_it_names_the_next_step(
    state: State, kind: type[Event], cell: tuple[Rule, ...]
) -> None:
    for rule in cell:
        assert rule.closing_to is None or state is State.CLOSING
        if rule.to is State.CLOSING:
            assert rule.after_close is not None
        elif state is not State.CLOSING or rule.to is not None:
            assert rule.after_close is None


@pytest.mark.parametrize(("state", "kind", "cell"), RULES)
def test_each_rule_of_an_ended_connection_marks_it_as_gone(
    state: State, kind: type[Event], cell: tuple[Rule, ...]
) -> None:
    for rule in cell:
        assert (rule.do[0] is Actions.mark_gone) == (kind is events.ConnectionGone)


def test_no_guard_or_action_is_without_use() -> None:
    rows = (*TABLE.values(), *SIDE_TABLE.values())
    rules = [rule for row in rows for cell in row.values() if isinstance(cell, tuple) for rule in cell]
    used = {rule.when for rule in rules if rule.when is not None} | {action for rule in rules for action in rule.do}
    members = {**vars(Guards), **vars(Actions), **vars(SideActions)}
    public = {value for name, value in members.items() if callable(value) and not name.startswith("_")}
    assert used == public
    assert {rule.after_close for rule in rules} == {*AfterClose, None}


@pytest.mark.parametrize("state", State)
def test_only_a_state_with_a_connection_hears_from_one(state: State) -> None:
    has_connection = state in (State.CONNECTING, State.CONNECTED, State.CLOSING)
    assert (TABLE[state][events.ConnectionGone] is not ILLEGAL) == has_connection


def test_closed_is_final() -> None:
    for cell in TABLE[State.CLOSED].values():
        assert isinstance(cell, NonTransition) or all(rule.to is None for rule in cell)
