"""The file with the theme and the keys."""

from pathlib import Path

import pytest
from textual.binding import Binding
from textual.widgets import Input

from onesocket_chat import ChatApp
from onesocket_chat._chat_config import (
    DEFAULT_KEYS,
    ChatConfig,
    InvalidConfig,
    Notifications,
    default_config_path,
    load_config,
)
from onesocket_chat.screens._chat import ChatScreen
from onesocket_chat.screens._help import _DEFAULTS
from onesocket_chat.screens._search import SearchScreen
from onesocket_chat.widgets._composer import Composer
from onesocket_chat.widgets._member_list import MemberList
from onesocket_chat.widgets._message_list import MessageList
from tests.unit.onesocket_chat.offline import offline_chat


def test_it_is_below_the_directory_for_configurations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_config_path() == tmp_path / "onesocket" / "chat.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert default_config_path() == Path.home() / ".config" / "onesocket" / "chat.toml"


def test_without_a_file_nothing_is_configured(tmp_path: Path) -> None:
    assert load_config(tmp_path / "chat.toml") == ChatConfig(tmp_path / "chat.toml")


def test_the_theme_and_the_keys_are_read(tmp_path: Path) -> None:
    path = tmp_path / "chat.toml"
    path.write_text('theme = "nord"\ntitle = false\nnotifications = "both"\n[keys]\njump = "ctrl+g,f9"\n')
    assert load_config(path) == ChatConfig(path, "nord", {"jump": "ctrl+g,f9"}, False, Notifications.BOTH)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("theme = ", "can't be read"),
        ("\udcff", "can't be read"),
        ("theme = 1", "is a text"),
        ("keys = []", "a table"),
        ("colour = 'red'", "'colour' is unknown"),
        ("[keys]\nfly = 'f9'", "no action is called 'fly'"),
        ("[keys]\njump = 9", "the key of 'jump'"),
        ("title = 'no'", "'title' is true or false"),
        ("notifications = true", "'notifications' is one of 'off', 'bell', 'osc9', 'both', not True"),
        ("notifications = ['bell']", "'notifications' is one of"),
        ("[keys]\njump = 'ctrl+'", "'ctrl\\+' is no key"),
        ("[keys]\njump = 'nosuchkey'", "'nosuchkey' is no key"),
        ("[keys]\njump = 'hyper+a'", "'hyper\\+a' is no key"),
        ("[keys]\njump = 'f9'\nhelp='f9'", "'f9' is the key of 'help' and of 'jump'"),
        ("[keys]\njump = 'f1'", "'f1' is the key of 'help' and of 'jump'"),
        ("[keys]\nreply = 'e'", "'e' is the key of 'reply' and of 'edit'"),
        ("[keys]\njump = 'a b'", "the key of 'jump'"),
    ],
)
def test_what_has_no_meaning_is_said(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "chat.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidConfig, match=problem) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def test_a_theme_is_written_into_the_file_and_the_rest_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "chat.toml"
    config = load_config(path)
    config.remember_theme("nord")
    assert path.read_text() == 'theme = "nord"\n'
    path.write_text("# mine\ntheme = 'nord'  # blue\n[keys]\n# theme = 1\njump = 'f9'\n")
    load_config(path).remember_theme("gruvbox")
    assert path.read_text() == "# mine\ntheme = \"gruvbox\"\n[keys]\n# theme = 1\njump = 'f9'\n"
    path.write_text("[keys]\njump = 'f9'\n")
    load_config(path).remember_theme("nord")
    assert load_config(path) == ChatConfig(path, "nord", {"jump": "f9"})
    ChatConfig().remember_theme("nord")  # without a file, for this run


async def test_a_theme_that_is_chosen_is_there_in_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "chat.toml"
    async with offline_chat(app=ChatApp(config=load_config(path))) as driver:
        assert not path.exists()  # the default is not written down
        driver.app.theme = "nord"
        await driver.until(path.exists)
    assert ChatApp(config=load_config(path)).theme == "nord"


def test_an_unknown_theme_is_said() -> None:
    with pytest.raises(InvalidConfig, match="no theme is called 'beige'"):
        ChatApp(config=ChatConfig(theme="beige"))


async def test_keys_are_those_of_the_configuration_also_where_they_are_listed() -> None:
    keys = {"jump": "ctrl+g", "help": "f10", "reply": "a"}
    async with offline_chat((90, 90), app=ChatApp(config=ChatConfig(keys=keys)), keys=keys) as driver:
        await driver.press("ctrl+g")
        await driver.until(lambda: driver.is_drawn("Go to"))
        await driver.press("escape", "f10")
        for text in ("Ctrl-G ", "F10 ", "a, e, d "):
            await driver.until(lambda text=text: driver.is_drawn(text))  # type: ignore[misc]
        assert not driver.is_drawn("Ctrl-K ")
        await driver.press("escape")
        driver.panel.query_one(MessageList).focus()
        await driver.press("r")
        assert not driver.is_drawn("answering")
        await driver.press("a")
        await driver.until(lambda: driver.is_drawn("answering bob"))


def test_the_actions_and_their_keys_are_those_of_the_bindings_and_of_the_list() -> None:
    parts = (ChatApp, ChatScreen, MessageList, MemberList)
    bindings = [one for part in parts for one in part.BINDINGS if isinstance(one, Binding) and one.id]
    assert {str(one.id): one.key for one in bindings} == DEFAULT_KEYS
    assert {one.id for one in Composer.BINDINGS if isinstance(one, Binding) and one.id} < DEFAULT_KEYS.keys()
    assert {name for names in _DEFAULTS.values() for name in names} == DEFAULT_KEYS.keys()


def test_keys_may_change_places(tmp_path: Path) -> None:
    path = tmp_path / "chat.toml"
    path.write_text("[keys]\nreply = 'e'\nedit = 'r'\nhelp = 'shift+f1,alt+left,backslash,exclamation_mark'\n")
    assert load_config(path).keys["reply"] == "e"


@pytest.mark.parametrize(
    "key", ["ctrl+f", "ctrl+u", "ctrl+y", "ctrl+d", "ctrl+x", "alt+b", "f9", "shift+f3", "pageup", "shift+home"]
)
async def test_a_key_that_was_chosen_goes_before_what_it_does_in_the_field_of_a_message(key: str) -> None:
    keys = {"search": key, "reply": "ctrl+e"}
    async with offline_chat(app=ChatApp(config=ChatConfig(keys=keys)), keys=keys) as driver:
        await driver.type(*"half", "ctrl+a", "ctrl+e", key, *"needle")
        assert isinstance(driver.app.screen, SearchScreen)
        assert driver.app.screen.query_one(Input).value == "needle"
        await driver.type("escape", "!")
        assert driver.panel.query_one(Composer).text == "half!"


async def test_a_panel_is_closed_by_a_key_that_was_chosen() -> None:
    keys = {"close-panel": "ctrl+x", "next-unread": "x"}
    async with offline_chat(app=ChatApp(config=ChatConfig(keys=keys)), keys=keys) as driver:
        await driver.type("x", "ctrl+x")
        await driver.until(lambda: not driver.chat.panels)
