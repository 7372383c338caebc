"""Up in an empty composer: one's last message is edited."""

from typing import Any

import pytest

from onesocket_chat.session import ChatSession
from onesocket_chat.widgets._composer import Composer
from tests.unit.onesocket_chat.driver import AppDriver
from tests.unit.onesocket_chat.offline import offline_chat
from tests.unit.onesocket_chat.payloads import ADA, BOB, message

MESSAGES = (
    message(1, ADA, content="mine"),
    message(2, ADA, content=f"mine, <@{BOB}>\nin two lines"),
    message(3, BOB, content="bob's"),
)


@pytest.fixture
def edits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The edits that were sent."""
    sent: list[tuple[int, str]] = []

    async def edit(_: ChatSession, channel_id: int, message_id: int, content: str) -> bool:
        del channel_id
        sent.append((message_id, content))
        return True

    monkeypatch.setattr(ChatSession, "edit", edit)
    return sent


def written(driver: AppDriver) -> str:
    return driver.panel.query_one(Composer).text


async def test_up_edits_the_last_own_message(edits: list[Any]) -> None:
    async with offline_chat(messages=MESSAGES) as driver:
        await driver.press("up")
        assert written(driver) == "mine, @bob\nin two lines"
        await driver.until(lambda: driver.is_drawn("editing (Escape leaves it as it was)"))
        await driver.type(*"!", "up", *"!", "\r", *"next")
        await driver.until(lambda: edits)
        assert edits == [(2, f"mine, <@{BOB}>!\nin two lines!")]  # the second Up moved the cursor
        assert written(driver) == "next"


async def test_escape_leaves_the_message_as_it_was_and_enter_without_a_change_too(edits: list[Any]) -> None:
    async with offline_chat(messages=MESSAGES) as driver:
        for key in ("escape", "enter"):
            await driver.press("up", key)
            assert written(driver) == ""
            assert not driver.is_drawn("editing")
        assert edits == []


async def test_up_moves_the_cursor_where_something_is_written() -> None:
    async with offline_chat(messages=MESSAGES) as driver:
        await driver.type(*"a", "\n", *"b", "up", *"1")
        assert written(driver) == "a1\nb"


async def test_without_an_own_message_up_does_nothing() -> None:
    async with offline_chat(messages=MESSAGES[2:]) as driver:
        await driver.press("up", "x")
        assert written(driver) == "x"
        assert not driver.is_drawn("editing")
