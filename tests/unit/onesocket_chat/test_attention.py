"""The terminal's title, its bell and its notifications, as they are written to it."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from textual import events
from textual.drivers.headless_driver import HeadlessDriver

from onesocket_chat import ChatApp
from onesocket_chat._chat_config import ChatConfig, Notifications
from tests.unit.onesocket_chat.driver import AppDriver
from tests.unit.onesocket_chat.offline import offline_chat
from tests.unit.onesocket_chat.payloads import ADA, DIRECT, GENERAL, RANDOM, message_body, person, state_after


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Texts that are written to the terminal, in their order."""
    monkeypatch.setenv("TERM", "xterm")
    data: list[str] = []
    with mock.patch.object(HeadlessDriver, "write", lambda _, text: data.append(text)):
        yield data


def happen(driver: AppDriver, message_id: int, channel: int, content: str = "x", **more: Any) -> None:
    """A message comes."""
    body = message_body(message_id, channel=channel, content=content, **more)
    driver.session.store.change(lambda world: state_after(("MESSAGE_CREATE", body), world=world))


def attend(driver: AppDriver) -> None:
    """Have changes noticed as after a sign-in."""
    driver.session.store.listen(lambda: driver.app._attention.check(driver.world))


def titles(written: list[str]) -> list[str]:
    return [text.partition("\x1b]2;")[2].rstrip("\x07") for text in written if "\x1b]2;" in text]


async def test_the_title_names_the_channel_and_counts_mentions_and_is_put_back(written: list[str]) -> None:
    app = ChatApp("127.0.0.1:1")
    async with offline_chat(app=app, on_shown=app._attention.show) as driver:
        await driver.until(lambda: titles(written)[-1] == "#general · onesocket")
        happen(driver, 2001, RANDOM)
        await driver.until(lambda: titles(written)[-1] == "• #general · onesocket")
        happen(driver, 2002, RANDOM, mention_everyone=True)
        happen(driver, 2003, DIRECT)
        await driver.until(lambda: titles(written)[-1] == "(2) #general · onesocket")
        assert driver.is_drawn("● #random  1")
        assert driver.is_drawn("● @bob  1")
        rename = {"id": str(GENERAL), "type": 0, "name": "\x1b]2;evil\x07\u202e", "guild_id": "10"}
        driver.session.store.change(lambda world: state_after(("CHANNEL_UPDATE", rename), world=world))
        await driver.until(lambda: titles(written)[-1] == "(2) #\ufffd]2;evil\ufffd · onesocket")
        driver.app.call_later(driver.app._end, driver.session)
        await driver.until(lambda: titles(written)[-1] == "onesocket" and driver.is_drawn("Password"))
    marks = [text for text in written if text.startswith(("\x1b[22;2t", "\x1b[23;2t"))]
    assert marks == ["\x1b[22;2t\x1b]2;onesocket\x07", "\x1b[23;2t"]


@pytest.mark.parametrize("term", ["dumb", "linux", ""])
async def test_terminals_without_a_title_get_none(
    written: list[str], monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    app = ChatApp("127.0.0.1:1")
    async with offline_chat(app=app, on_shown=app._attention.show):
        assert titles(written) == []
    app = ChatApp(config=ChatConfig(title=False))
    monkeypatch.setenv("TERM", "xterm")
    async with offline_chat(app=app, on_shown=app._attention.show):
        assert titles(written) == []
    assert not any("\x1b[2" in text for text in written)


@pytest.mark.parametrize(
    ("notifications", "bells", "texts"),
    [
        (Notifications.OFF, 0, 0),
        (Notifications.BELL, 2, 0),
        (Notifications.OSC9, 0, 2),
        (Notifications.BOTH, 2, 2),
    ],
)
async def test_mentions_are_told_as_the_configuration_says(
    written: list[str], notifications: Notifications, bells: int, texts: int
) -> None:
    app = ChatApp(config=ChatConfig(notifications=notifications))
    async with offline_chat(app=app, on_shown=app._attention.show) as driver:
        attend(driver)
        await driver.until(lambda: titles(written)[-1] == "#general · onesocket")
        happen(driver, 2001, RANDOM, "not for her")
        happen(driver, 2002, RANDOM, f"4;<@{ADA}> **see** \x1b\\\x07 ||secret||", mentions=[person(ADA)])
        happen(driver, 2003, GENERAL, "seen at once", mention_everyone=True)
        happen(driver, 2004, DIRECT, "psst")
        assert written.count("\a") == bells
        told = [text for text in written if text.startswith("\x1b]9;")]
        assert (
            told
            == [
                "\x1b]9;onesocket: bob in #random: 4;@ada see \ufffd\\\ufffd ████\x07",
                "\x1b]9;onesocket: bob: psst\x07",
            ][:texts]
        )


async def test_a_terminal_without_the_focus_reads_nothing_and_tells_of_the_open_channel(written: list[str]) -> None:
    app = ChatApp(config=ChatConfig(notifications=Notifications.BELL))
    seen: list[int] = []
    async with offline_chat(app=app, on_shown=app._attention.show) as driver:
        attend(driver)
        with mock.patch.object(driver.session.read_marker, "seen", seen.append):
            driver.app.post_message(events.AppBlur())
            await driver.until(lambda: not driver.app.app_focus)
            seen.clear()
            happen(driver, 2001, GENERAL, mention_everyone=True)
            await driver.until(lambda: driver.is_drawn("● #general  1"))
            assert seen == []
            assert written.count("\a") == 1
            driver.app.post_message(events.AppFocus())
            await driver.until(lambda: GENERAL in seen)
