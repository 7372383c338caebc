"""The live table of ``onesocket feed``, drawn on no terminal."""

import io
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from rich.console import Console

from onesocket import Gap, State
from onesocket.cli._feed_table import FeedTable, shown_fields
from onesocket.cli._output import Output
from onesocket.client import GapReason
from onesocket.errors import SubscriptionRefused


class TickedLevel(msgspec.Struct):
    price: float
    name: str = ""
    levels: tuple[int, ...] = (1, 2)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (TickedLevel(1.5), {"price": "1.5"}),
        ({"a": 1, "b": None, "c": [1], "d": True}, {"a": "1", "d": "True"}),
        ("text", {"message": "text"}),
        (b"\x00", {}),
        ({"stream": "s", "data": TickedLevel(1.5, "n")}, {"stream": "s", "price": "1.5", "name": "n"}),
        ({"data": [TickedLevel(1.5), TickedLevel(2.5)], "none": []}, {"price": "2.5"}),
        ({"long": "x" * 100}, {"long": "x" * 40}),
    ],
)
def test_fields_are_texts_and_numbers_that_are_not_empty(message: Any, fields: dict[str, str]) -> None:
    assert shown_fields(message) == fields


@pytest.fixture
def sized(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    def set_size(width: int, height: int) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("LINES", str(height))

    set_size(120, 30)
    return set_size


def drawn(table: FeedTable) -> str:
    file = io.StringIO()
    Console(file=file).print(table.render())
    return file.getvalue()


async def test_a_small_terminal_has_the_columns_and_rows_for_which_there_is_room(
    sized: Callable[[int, int], None],
) -> None:
    def key_of(message: Any) -> Any:
        return message["key"]

    sized(44, 12)
    table = FeedTable("any", [], Output(quiet=True), key_of, "ws://x/")
    for number in range(100):
        await table.message({"key": f"key-{number:02}", "price": 1.5, "text": "too long for the rest", "z": number % 7})
    lines = drawn(table).splitlines()
    assert lines[2] == "┃ key    ┃ key    ┃ price ┃ z ┃ messages ┃"
    assert lines[4:10] == [f"│ key-0{number} │ key-0{number} │ 1.5   │ {number} │        1 │" for number in range(6)]
    assert lines[11:] == ["and 94 more keys, for which there is no room"]
    sized(10, 3)
    assert "and 1 more keys" in drawn(
        FeedTable("any", ["a", "b", "c", "d"], Output(quiet=True), key_of, "ws://x/")
    ).replace("\n", " ")


@pytest.mark.usefixtures("sized")
async def test_rows_are_keys_and_columns_the_fields_that_came_at_most_eight() -> None:
    table = FeedTable("any", ["a", "b", "bad"], Output(quiet=True), lambda message: message.get("key"), "ws://x/")
    assert "any – disconnected – ws://x/ – gaps: 0" in drawn(table)
    table.changed(State.CONNECTED)
    await table.message({"key": "a", **{f"f{number}": number for number in range(20)}})
    await table.message({"key": "a", "f1": 99})
    await table.message({"other": 1})
    await table.refused(SubscriptionRefused.of(["bad"], "unknown [red]symbol\x1b"))
    await table.gap(Gap(GapReason.OVERFLOW, 1, 3))
    text = drawn(table)
    assert "any – connected – ws://x/ – gaps: 1" in text
    assert [name for name in ("f6", "f7", "other") if name in text] == ["f6"]
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│")}
    assert set(lines) == {"a", "b", "dict"}
    assert "99" in lines["a"]
    assert lines["a"].split()[-2] == "2"
    assert "refused: bad: unknown [red]symbol\\u001b" in text
