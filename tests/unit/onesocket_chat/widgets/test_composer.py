"""Keys take effect in the order in which they were typed, even if all are there before the first is looked at."""

import asyncio
from unittest import mock

import pytest
from textual import events, on
from textual._xterm_parser import XTermParser
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widgets import Input

from onesocket_chat import ChatApp
from onesocket_chat import _input_order as input_order
from onesocket_chat._input_order import InputOrder
from onesocket_chat.screens._dialogs import PromptDialog
from onesocket_chat.widgets._composer import Composer
from tests.unit.onesocket_chat.driver import running_app
from tests.unit.onesocket_chat.offline import offline_chat

NAMES = {" ": "space", "\t": "tab", "\n": "ctrl+j", "\r": "enter", "\x7f": "backspace", "\x1b[D": "left"}


class ComposerApp(App[None]):
    """A composer alone, in an application that knows nothing of the order of keys."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def compose(self) -> ComposeResult:
        yield Composer(lambda: ["bob", "ada"])

    @on(Composer.Submitted)
    def submitted(self, event: Composer.Submitted) -> None:
        self.sent.append(event.text)

    @property
    def composer(self) -> Composer:
        return self.query_one(Composer)


def arrive(app: App[None], *keys: str) -> None:
    for key in keys:
        app.post_message(events.Key(NAMES.get(key, key), key if key.isprintable() and len(key) == 1 else None))


async def settle(pilot: Pilot[None]) -> None:
    for _ in range(6):
        await pilot.pause(0)


async def test_enter_sends_what_was_typed_before_it_and_nothing_else() -> None:
    app = ComposerApp()
    async with app.run_test() as pilot:
        arrive(app, *"see you at 18:45", "\r", *"and", "\r", *"then")
        await settle(pilot)
        assert app.sent == ["see you at 18:45", "and"]
        assert app.composer.text == "then"


async def test_a_new_line_is_where_it_was_typed() -> None:
    app = ComposerApp()
    async with app.run_test() as pilot:
        arrive(app, *"ab", "\n", *"cd", "\n", *"ef", "\r")
        await settle(pilot)
        assert app.sent == ["ab\ncd\nef"]


async def test_enter_on_nothing_sends_nothing() -> None:
    app = ComposerApp()
    async with app.run_test() as pilot:
        arrive(app, "\r", " ", "\n", "\r", "\r")
        await settle(pilot)
        assert app.sent == []


async def test_what_was_refused_comes_back_before_what_was_typed_since() -> None:
    app = ComposerApp()
    async with app.run_test() as pilot:
        arrive(app, *"one", "\r", *"two")
        await settle(pilot)
        app.composer.give_back("one")
        assert app.composer.text == "one\ntwo"
        app.composer.write("")
        app.composer.give_back("one")
        assert app.composer.text == "one"


@pytest.mark.parametrize("width", [0, 1, 2, 3])
async def test_it_is_drawn_without_a_column_for_its_placeholder(width: int) -> None:
    app = ComposerApp()
    async with app.run_test(size=(30, 5)) as pilot:
        app.composer.styles.padding = (0, 1)
        app.composer.styles.width = width
        await settle(pilot)
        arrive(app, *"abc", "\r")
        await settle(pilot)
        assert app.sent == ["abc"]


async def test_it_can_be_drawn_once_more_after_it_was_removed() -> None:
    app = ComposerApp()
    async with app.run_test():
        composer = app.composer
        await composer.remove()
        assert [strip.text for strip in composer.render_lines(Region(0, 0, 3, 2))] == ["   ", "   "]


async def test_keys_go_where_the_keys_before_them_lead() -> None:
    async with running_app(ChatApp(user="")) as driver:
        await driver.until(lambda: driver.app.screen.query("#password"))
        await driver.type(*"adx", "\x7f", "a", "\t", *"a secret")
        fields = {field.id: field.value for field in driver.app.screen.query(Input)}
        assert (fields["name"], fields["password"]) == ("ada", "a secret")


async def test_a_key_whose_widget_is_gone_does_not_hold_up_those_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_order, "_CHECK_INTERVAL", 0.02)
    async with running_app(ChatApp(user="")) as driver:
        await driver.until(lambda: driver.app.screen.query("#password"))
        form = driver.app.screen
        await driver.app.push_screen(PromptDialog("A question"))
        await driver.until(lambda: isinstance(driver.app.focused, Input))
        question = driver.app.screen
        with mock.patch.object(InputOrder, "_follow", lambda order, _: setattr(order, "_followed", question)):
            driver.app.post_message(events.Key("x", "x"))  # what follows it never comes back
            await driver.until(lambda: not driver.app.input_order.is_idle)
        await driver.app.pop_screen()
        form.query_one("#name", Input).focus()
        await driver.type(*"ada", "\t", "s")
        assert [field.value for field in form.query(Input)][1:3] == ["ada", "s"]


async def test_a_slow_widget_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_order, "_CHECK_INTERVAL", 0.01)
    async with running_app(ChatApp(user="")) as driver:
        await driver.until(lambda: driver.app.screen.query("#password"))
        slow = asyncio.Event()
        driver.app.screen.call_later(slow.wait)  # nothing passes the screen
        for key in (*"ada", "tab", "s"):
            driver.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await asyncio.sleep(0.1)  # several looks
        assert not driver.app.input_order.is_idle
        slow.set()
        await driver.until(lambda: driver.app.input_order.is_idle)
        assert [field.value for field in driver.app.screen.query(Input)][1:3] == ["ada", "s"]


async def test_tab_completes_a_name_and_leaves_the_composer_otherwise() -> None:
    app = ComposerApp()
    async with app.run_test() as pilot:
        arrive(app, *"hi @a", "\t", *"there")
        await settle(pilot)
        assert app.composer.text == "hi @ada there"
        arrive(app, " ", "@", "\t", "\t")
        await settle(pilot)
        assert app.composer.text == "hi @ada there @bob "


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ((*"two", "ctrl+a", *"one ", "ctrl+e", "!"), "one two!"),
        ((*"ac", "ctrl+b", "b", "ctrl+f", "d"), "abcd"),
        ((*"one two three", "ctrl+w", "ctrl+w", "ctrl+y", "ctrl+y"), "one two threetwo three"),
        ((*"one two three", "ctrl+w", "x", "ctrl+w", "ctrl+w", "ctrl+y"), "one two x"),
        ((*"one two", "ctrl+a", "alt+d", "alt+d", "ctrl+y", "ctrl+y"), "one twoone two"),
        ((*"one two", "alt+b", "ctrl+u", "alt+k", "ctrl+y"), "one two"),
        ((*"above", "\n", *("word " * 40), "ctrl+a", *"1 ", "ctrl+e", *"2"), f"above\n1 {'word ' * 40}2"),
        ((*"above", "\n", *("word " * 40), "ctrl+u", *"below"), "above\nbelow"),
        ((*"above", "\n", "ctrl+u", *"!"), "above!"),
        ((*("word " * 40), "ctrl+a", "alt+k", "\n", "ctrl+y"), f"\n{'word ' * 40}"),
        ((*"one two", "ctrl+u", *"zero ", "ctrl+y"), "zero one two"),
        ((*"one two", "alt+b", "alt+k", *"2 ", "ctrl+y"), "one 2 two"),
        ((*"one two", "ctrl+a", "alt+d", "ctrl+e", "ctrl+y"), " twoone"),
        ((*"one two", "ctrl+a", "alt+f", "alt+backspace", *"1"), "1 two"),
        ((*"one", "ctrl+a", "ctrl+d", "ctrl+y"), "ne"),
    ],
)
async def test_keys_of_readline(keys: tuple[str, ...], text: str) -> None:
    app = ComposerApp()
    async with app.run_test() as pilot:
        arrive(app, *keys)
        await settle(pilot)
        assert app.composer.text == text


async def test_ctrl_w_closes_the_panel_if_nothing_is_written_and_not_by_one_word_too_many() -> None:
    async with offline_chat() as driver:
        await driver.type(*"two words", "ctrl+w", "ctrl+w", "ctrl+w", "ctrl+w")
        assert [panel.query_one(Composer).text for panel in driver.chat.panels] == [""]
        await driver.type("x", "\x7f", "ctrl+w")
        await driver.until(lambda: not driver.chat.panels)


async def test_joiners_that_are_typed_stay_in_the_text_and_in_a_search() -> None:
    text = (
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f467"  # a Persian word, an emoji of two
    )
    async with offline_chat() as driver:
        for places in ("message", "search"):
            for event in XTermParser(debug=False).feed(text):
                driver.app.post_message(event)
            await driver.until(lambda: driver.app.input_order.is_idle)
            field = driver.app.focused
            assert (field.text if isinstance(field, Composer) else getattr(field, "value", None)) == text, places
            await driver.type("ctrl+r")
