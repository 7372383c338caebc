"""The user's configuration of the chat: a TOML file with the theme and the keys."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from onesocket.errors import UsageError

from . import _private_file as private_file

KEY_NAMES: Final = (
    "help",
    "jump",
    "search",
    "next-unread",
    "connection",
    "channels",
    "people",
    "connect",
    "next-panel",
    "close-panel",
    "quit",
    "reply",
    "edit",
    "delete",
    "react",
    "retry",
    "discard",
    "reveal",
    "select",
    "copy",
)
"""Names of the actions whose keys can be chosen."""
_MAX_SIZE: Final = 65_536
_THEME_LINE: Final = re.compile(r"^theme[ \t]*=.*$", re.MULTILINE)
_TABLE: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)


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
    unknown = sorted(content.keys() - {"theme", "keys"})
    if unknown:
        raise InvalidConfig(f"{path}: {unknown[0]!r} is unknown; there are 'theme' and [keys]")
    theme, keys = content.get("theme", ""), content.get("keys", {})
    if not isinstance(theme, str) or not isinstance(keys, dict):
        raise InvalidConfig(f"{path}: 'theme' is a text, and [keys] a table")
    table = cast("dict[str, object]", keys)
    return ChatConfig(path, theme, {name: _checked_key(path, name, key) for name, key in table.items()})


def _checked_key(path: Path, name: str, key: object) -> str:
    if name not in KEY_NAMES:
        raise InvalidConfig(f"{path}: no action is called {name!r}; there are {', '.join(KEY_NAMES)}")
    if not isinstance(key, str) or not re.fullmatch(r"[a-z0-9_+]+(,[a-z0-9_+]+)*", key):
        raise InvalidConfig(f'{path}: the key of {name!r} is a text such as "f9" or "ctrl+g,alt+g", not {key!r}')
    return key
