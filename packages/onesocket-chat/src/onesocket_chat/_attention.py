"""The terminal's title, bell and notifications, by which the chat calls for attention."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from textual.app import App

from ._chat_config import ChatConfig, Notifications
from .model._chat_state import ChatState
from .model._models import Message
from .model._safe_text import one_line
from .screens._chat import ChatScreen
from .widgets._rows import preview

_NAME: Final = "onesocket"
_WITHOUT_TITLE: Final = frozenset({"", "dumb", "linux"})
"""Values of ``$TERM`` of terminals that have no title."""
_PUSH_TITLE: Final = "\x1b[22;2t"
_POP_TITLE: Final = "\x1b[23;2t"


class Attention:
    """Keeps the terminal's title, and tells of mentions in channels that are not looked at.

    A terminal that tells nothing of its focus counts as having it.
    """

    def __init__(self, app: App[Any], config: ChatConfig, write: Callable[[str], object]) -> None:
        """`write`: sends control sequences to the terminal."""
        self._app = app
        self._write = write
        self._has_title = config.title and os.environ.get("TERM", "") not in _WITHOUT_TITLE
        self._notifications = config.notifications
        self._title = ""
        self._screen: ChatScreen | None = None
        self._told: Message | None = None

    def __repr__(self) -> str:
        return f"<Attention {self._title!r}>"

    def open(self) -> None:
        """Save the terminal's title, and set it."""
        self._write_title(self._title or _NAME, _PUSH_TITLE)

    def close(self) -> None:
        """Put the terminal's title back."""
        if self._has_title:
            self._write(_POP_TITLE)

    def show(self, screen: ChatScreen) -> None:
        """Show the title of what this screen shows."""
        self._screen = screen
        title = _title_of(screen.session.store.state, screen.active_channel)
        if title != self._title:
            self._write_title(title)

    def sign_out(self) -> None:
        """Show a title that names no channel."""
        self._screen = None
        self._write_title(_NAME)

    def check(self, state: ChatState) -> None:
        """Tell of a new mention; called after each change of the state, as several may be drawn at once."""
        mention, told = state.newest_mention, self._told
        self._told = mention
        if mention is not None and mention is not told and not self._is_watched(mention.channel_id):
            self._tell(mention, state)

    def _is_watched(self, channel_id: int) -> bool:
        if self._screen is None or not self._app.app_focus:
            return False
        return any(panel.channel_id == channel_id and panel.display for panel in self._screen.panels)

    def _tell(self, message: Message, state: ChatState) -> None:
        if Notifications.BELL in self._notifications:
            self._write("\a")
        if Notifications.OSC9 in self._notifications:
            channel = state.channels.get(message.channel_id)
            place = f" in {one_line(channel.title, 40)}" if channel is not None and not channel.is_direct else ""
            text = f"{_NAME}: {one_line(message.author.username, 32)}{place}: {preview(message.content, state, 120)}"
            self._write(f"\x1b]9;{text}\x07")

    def _write_title(self, title: str, before: str = "") -> None:
        self._title = title
        if self._has_title:
            self._write(f"{before}\x1b]2;{title}\x07")


def _title_of(state: ChatState, channel_id: int | None) -> str:
    channel = state.channels.get(channel_id or 0)
    name = _NAME if channel is None else f"{one_line(channel.title, 60)} · {_NAME}"
    mentions = sum(state.mentions.values())
    is_unread = any(state.is_unread(one) for one in state.channels)
    return f"({mentions}) {name}" if mentions else f"• {name}" if is_unread else name
