"""Selecting messages, and copying them to the terminal's clipboard."""

from typing import Any
from unittest import mock

from onesocket_chat.widgets._message_list import MessageList
from tests.unit.onesocket_chat.driver import AppDriver
from tests.unit.onesocket_chat.offline import offline_chat
from tests.unit.onesocket_chat.payloads import ADA, BOB, message

MESSAGES = (
    message(1, BOB, content="one"),
    message(2, ADA, content=f"two <@{BOB}> \x1b[2J\nin two lines"),
    message(3, BOB, content="three"),
)


async def copied(driver: AppDriver, *keys: str) -> str:
    """Press these keys in the list, at the newest message; returns the text that was copied."""
    driver.panel.query_one(MessageList).focus()
    with mock.patch.object(driver.app, "copy_to_clipboard") as copy:
        await driver.press(*keys)
    calls: list[Any] = copy.call_args_list
    return str(calls[0].args[0]) if calls else ""


async def test_y_copies_the_message_that_is_highlighted() -> None:
    async with offline_chat(messages=MESSAGES) as driver:
        assert await copied(driver, "y") == "three"
        await driver.until(lambda: driver.is_drawn("copied"))
        await driver.until(lambda: not driver.is_drawn("copied"))
        assert await copied(driver, "up", "y") == "two @bob \ufffd[2J\nin two lines"


async def test_several_are_copied_in_their_order_with_their_authors() -> None:
    async with offline_chat(messages=MESSAGES) as driver:
        text = await copied(driver, "space", "up", "up", "space", "y")
        assert [line.partition("] ")[2] for line in text.splitlines()] == ["bob: one", "bob: three"]
        await driver.until(lambda: driver.is_drawn("copied 2 messages"))
        assert await copied(driver, "y") == "one"  # nothing is selected any more
        text = await copied(driver, "shift+down", "shift+down", "y")
        assert len(text.splitlines()) == 4


async def test_escape_gives_a_selection_up() -> None:
    async with offline_chat(messages=MESSAGES) as driver:
        assert await copied(driver, "space", "up", "space", "space", "space", "escape", "y") != ""
        assert await copied(driver, "end", "y") == "three"


async def test_a_covered_spoiler_is_copied_covered_and_in_clear_when_it_is_shown() -> None:
    secret = f"**He** said `||` and ||the butler|| to <@{BOB}>, || not this||one||"
    async with offline_chat(messages=(message(1, BOB, content="one"), message(2, BOB, content=secret))) as driver:
        assert await copied(driver, "y") == "He said || and ████ to @bob, || not this████"
        text = await copied(driver, "space", "up", "space", "y")
        assert text.splitlines()[1].endswith("bob: He said || and ████ to @bob, || not this████")
        assert await copied(driver, "down", "s", "y") == secret.replace(f"<@{BOB}>", "@bob")
        assert await copied(driver, "s", "y") == "He said || and ████ to @bob, || not this████"
