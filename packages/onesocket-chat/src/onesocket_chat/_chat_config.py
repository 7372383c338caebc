"""The user's configuration of the chat: a TOML file with the theme and the keys."""

from __future__ import annotations

import contextlib
import enum
import os
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from textual.keys import KEY_NAME_REPLACEMENTS, Keys

from onesocket.errors import UsageError

from . import _private_file as private_file

DEFAULT_KEYS: Final = {
    "help": "f1,question_mark",
    "jump": "ctrl+k",
    "search": "ctrl+r,slash",
    "next-unread": "f2",
    "connection": "f3",
    "channels": "f4",
    "people": "f7",
    "connect": "f5",
    "next-panel": "f6",
    "close-panel": "f8,ctrl+w",
    "quit": "ctrl+q",
    "reply": "r",
    "edit": "e",
    "delete": "d",
    "react": "plus",
    "more": "m",
    "retry": "t",
    "discard": "x",
    "reveal": "s",
    "select": "space",
    "copy": "y",
}
"""The keys of the actions whose keys can be chosen, as the bindings have them."""
_MODIFIERS: Final = frozenset({"alt", "ctrl", "meta", "shift", "super"})
_MAX_SIZE: Final = 65_536
_THEME_LINE: Final = re.compile(r"^theme[ \t]*=.*$", re.MULTILINE)
_TABLE: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)


class Notifications(enum.Flag):
    """How the terminal tells of a mention in a channel that is not looked at."""

    OFF = 0
    BELL = enum.auto()
    OSC9 = enum.auto()
    BOTH = BELL | OSC9


_NOTIFICATIONS: Final = {
    "off": Notifications.OFF,
    "bell": Notifications.BELL,
    "osc9": Notifications.OSC9,
    "both": Notifications.BOTH,
}


class InvalidConfig(UsageError):
    """The configuration can't be read, or something in it has no meaning."""


@dataclass(slots=True)
class ChatConfig:
    """The configuration; a theme that is chosen later is written to the file."""

    path: Path | None = None
    """The file; None: nothing is read or written."""
    theme: str = ""
    """Name of the theme; empty: the default."""
    keys: dict[str, str] = field(default_factory=dict[str, str])
    """By the action's name: its key, or several with commas between, in place of the usual ones."""
    title: bool = True
    """False leaves the terminal's title alone."""
    notifications: Notifications = Notifications.OFF

    def remember_theme(self, theme: str) -> None:
        """Write the theme to the file; its other lines stay as they are. Raises OSError."""
        if theme == self.theme or self.path is None:
            return
        self.theme = theme
        text = ""
        with contextlib.suppress(FileNotFoundError):
            text = self.path.read_text("utf-8")
        line = f'theme = "{theme}"'
        tables = _TABLE.search(text)
        found = _THEME_LINE.search(text, 0, tables.start() if tables else len(text))
        text = f"{line}\n{text}" if found is None else text[: found.start()] + line + text[found.end() :]
        private_file.write(self.path, text.encode())


def default_config_path() -> Path:
    """The file below ``$XDG_CONFIG_HOME``, or ``~/.config``."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path.home() / ".config") / "onesocket" / "chat.toml"


def load_config(path: Path) -> ChatConfig:
    """Load the file; without one the configuration is empty. Raises `InvalidConfig`."""
    try:
        with path.open("rb") as file:
            content: dict[str, Any] = tomllib.loads(file.read(_MAX_SIZE).decode())
    except FileNotFoundError:
        return ChatConfig(path)
    except (OSError, ValueError) as error:  # TOML's and UTF-8's errors are ValueErrors
        raise InvalidConfig(f"{path} can't be read: {error}") from error
    unknown = sorted(content.keys() - {"theme", "title", "notifications", "keys"})
    if unknown:
        known = "'theme', 'title', 'notifications' and [keys]"
        raise InvalidConfig(f"{path}: {unknown[0]!r} is unknown; there are {known}")
    theme, keys = content.get("theme", ""), content.get("keys", {})
    if not isinstance(theme, str) or not isinstance(keys, dict):
        raise InvalidConfig(f"{path}: 'theme' is a text, and [keys] a table")
    title, notifications = content.get("title", True), content.get("notifications", "off")
    if not isinstance(title, bool):
        raise InvalidConfig(f"{path}: 'title' is true or false")
    if not isinstance(notifications, str) or notifications not in _NOTIFICATIONS:
        known = ", ".join(map(repr, _NOTIFICATIONS))
        raise InvalidConfig(f"{path}: 'notifications' is one of {known}, not {notifications!r}")
    table = cast("dict[str, object]", keys)
    checked = {name: _checked_key(path, name, key) for name, key in table.items()}
    _check_keys_differ(path, checked)
    return ChatConfig(path, theme, checked, title, _NOTIFICATIONS[notifications])


def _checked_key(path: Path, name: str, key: object) -> str:
    if name not in DEFAULT_KEYS:
        raise InvalidConfig(f"{path}: no action is called {name!r}; there are {', '.join(DEFAULT_KEYS)}")
    if not isinstance(key, str) or not re.fullmatch(r"[a-z0-9_+]+(,[a-z0-9_+]+)*", key):
        raise InvalidConfig(f'{path}: the key of {name!r} is a text such as "f9" or "ctrl+g,alt+g", not {key!r}')
    for one in key.split(","):
        if not _is_key(one):
            raise InvalidConfig(
                f"{path}: {one!r} is no key; keys are a letter, a digit, f1 to f24, or names such as slash, "
                "question_mark, escape, pageup, behind ctrl+, alt+ or shift+"
            )
    return key


def _is_key(key: str) -> bool:
    *modifiers, name = key.split("+")
    if not _MODIFIERS.issuperset(modifiers):
        return False
    if len(name) == 1 or name in {one.value for one in Keys}:
        return True
    if name in KEY_NAME_REPLACEMENTS:  # Textual has another name for it
        return False
    if name in KEY_NAME_REPLACEMENTS.values():
        return True
    try:
        unicodedata.lookup(name.replace("_", " "))
    except KeyError:
        return False
    return True


def _check_keys_differ(path: Path, keys: Mapping[str, str]) -> None:
    """Raise `InvalidConfig` if a key that was chosen has two actions: one of them would never be performed."""
    owners: dict[str, str] = {}
    for name, default in DEFAULT_KEYS.items():
        for key in set(keys.get(name, default).split(",")):
            if key in owners:
                raise InvalidConfig(f"{path}: {key!r} is the key of {owners[key]!r} and of {name!r}")
            owners[key] = name
