"""The first run: the first channel is open, and the keys that matter are named."""

from pathlib import Path

import pytest

from onesocket_chat import ChatApp
from onesocket_chat.model._composition import Composition
from onesocket_chat.session._drafts import Drafts
from onesocket_chat.widgets._composer import Composer
from onesocket_chat.widgets._sidebar import Sidebar
from tests.unit.onesocket_chat.offline import offline_chat
from tests.unit.onesocket_chat.payloads import RANDOM


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


async def test_the_first_channel_is_open_and_can_be_written_in() -> None:
    async with offline_chat() as driver:
        await driver.until(lambda: isinstance(driver.app.focused, Composer))
        assert driver.is_drawn("#general · the guild")
        assert not driver.is_drawn("New here?")
        await driver.press("ctrl+w")
        await driver.do(driver.session.store.notify)
        assert driver.chat.panels == []  # it is opened once


async def test_a_channel_that_was_asked_for_is_opened_instead() -> None:
    async with offline_chat(messages=(), channels=[RANDOM, 100]) as driver:
        assert [panel.channel_id for panel in driver.chat.panels] == [RANDOM, 100]


@pytest.mark.parametrize("size", [(100, 30), (40, 12)])
async def test_what_was_left_unsent_is_shown_and_not_sent_by_the_first_enter(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drafts, "of", lambda _, channel_id: Composition(text="an old draft" if channel_id else ""))
    async with offline_chat(size) as driver:
        assert isinstance(driver.app.focused, Sidebar)
        await driver.type("\r", "!")
        assert driver.panel.query_one(Composer).text == "an old draft!"
        assert not driver.pending


@pytest.mark.parametrize("key", ["escape", "enter"])
async def test_the_hint_of_the_first_run_goes_and_stays_away(key: str) -> None:
    async with offline_chat(is_first_run=not ChatApp()._welcomed.exists()) as driver:
        await driver.until(lambda: driver.is_drawn("New here?"))
        await driver.type(*"hello")
        assert driver.is_drawn("New here?")
        await driver.press(key)
        await driver.until(lambda: not driver.is_drawn("New here?"))
        await driver.until(driver.app._welcomed.exists)
    assert ChatApp()._welcomed.exists()
