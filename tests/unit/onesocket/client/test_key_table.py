"""The table of the streams of keys, with a wildcard."""

from collections.abc import Hashable
from typing import Any

import pytest

from onesocket.client._key_table import KeySelection, KeyTable, WildcardKeyTable, new_key_table


def key_of(message: str) -> Hashable:
    return message if "." in message else None


def wildcard(key: str) -> str:
    return f"{key.partition('.')[0]}.*"


def unexpected(error: BaseException, name: str) -> None:
    raise AssertionError(name) from error


def deliver(table: KeyTable, messages: list[str], *, many: bool) -> None:
    if many:
        table.put_many(messages)
    else:
        for message in messages:
            table.put(message)


@pytest.fixture
def table() -> KeyTable:
    made = new_key_table(KeySelection((), key_of, wildcard), unexpected)
    assert isinstance(made, WildcardKeyTable)
    return made


def test_a_protocol_without_a_wildcard_has_the_plain_table() -> None:
    assert type(new_key_table(KeySelection((), key_of), unexpected)) is KeyTable


@pytest.mark.parametrize("many", [False, True])
def test_streams_of_keys_and_of_the_wildcard_come_and_go(table: KeyTable, many: bool) -> None:
    every: list[str] = []
    one: list[str] = []
    add_all, add_one = every.append, one.append
    deliver(table, ["b.A", "t.A", "none"], many=many)
    table.add(["b.A"], add_one)
    deliver(table, ["b.A", "b.B"], many=many)
    table.add(["b.*", "b.A"], add_all)
    deliver(table, ["b.A", "b.B", "t.A", "none", "b.*"], many=many)
    assert (every, one) == (["b.A", "b.B", "b.*"], ["b.A", "b.A"])
    table.take_off(["b.A"], add_one)
    deliver(table, ["b.A", "b.C"], many=many)
    table.take_off(["b.*", "b.A"], add_all)
    deliver(table, ["b.A", "b.C"], many=many)
    assert (every[3:], one[2:], table.streams) == (["b.A", "b.C"], [], 0)


@pytest.mark.parametrize("many", [False, True])
def test_a_stream_may_begin_and_end_at_a_message(table: KeyTable, many: bool) -> None:
    every: list[Any] = []
    late: list[Any] = []
    add_late = late.append

    def begin(message: str) -> None:
        every.append(message)
        if len(every) == 1:
            table.add(["b.*"], add_late)
        if len(every) == 3:
            table.take_off(["b.*"], add_late)

    table.add(["b.*"], begin)
    deliver(table, ["b.A", "b.A", "b.B", "b.A"], many=many)
    assert (every, late) == (["b.A", "b.A", "b.B", "b.A"], ["b.A", "b.B"])


def test_a_selection_has_the_messages_of_its_wildcard() -> None:
    selects = KeySelection(("b.*", "t.A"), key_of, wildcard).within(lambda message: message != "b.B")
    assert [message for message in ("b.A", "b.B", "t.A", "t.B", "none") if selects(message)] == ["b.A", "t.A"]
