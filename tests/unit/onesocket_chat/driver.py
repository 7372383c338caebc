"""Drives the chat application as a user would.

It waits for messages of the application and looks then; time alone decides nothing but the deadline.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

from textual import events
from textual.message import Message as TextualMessage
from textual.pilot import Pilot
from textual.widgets import Input

from onesocket_chat import ChatApp
from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._models import Channel, Message
from onesocket_chat.model._outbox import Draft
from onesocket_chat.screens._chat import ChatScreen
from onesocket_chat.screens._dialogs import ConfirmDialog, PromptDialog
from onesocket_chat.session import ChatSession
from onesocket_chat.widgets._channel_panel import ChannelPanel
from onesocket_chat.widgets._composer import Composer
from onesocket_chat.widgets._message_list import MessageList

PASSWORD = "correct horse battery"
DEADLINE = 20.0
_QUEUE_HOPS = 4
"""A key goes by the loop, the application and the widget before it is what it does."""


class AppDriver:
    """Works one application."""

    def __init__(self, app: ChatApp, pilot: Pilot[None], news: asyncio.Event) -> None:
        self.app = app
        self.pilot = pilot
        self._news = news

    @property
    def session(self) -> ChatSession:
        assert self.app.session is not None, f"nobody is signed in: {self.app.toasts.shown}"
        return self.app.session

    @property
    def world(self) -> ChatState:
        return self.session.store.state

    @property
    def chat(self) -> ChatScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, ChatScreen))

    @property
    def panel(self) -> ChannelPanel:
        return next(one for one in self.chat.panels if one.channel_id == self.chat.active_channel)

    @property
    def said(self) -> list[str]:
        """The messages that the active panel shows as stored."""
        return [row.content for row in self.panel.query_one(MessageList).rows if isinstance(row, Message)]

    @property
    def pending(self) -> list[Draft]:
        """The messages that the active panel shows as not stored."""
        return [row for row in self.panel.query_one(MessageList).rows if isinstance(row, Draft)]

    @property
    def toasts(self) -> dict[str, str]:
        return self.app.toasts.shown

    def channel(self, name: str) -> Channel:
        return next(one for one in self.world.channels.values() if one.title == name)

    def screenshot(self) -> str:
        """The text of the screen, with what differs from run to run made equal."""
        return _text_of(self.app.export_screenshot())

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait until this holds, looking again whenever the application deals with something.

        And ten times a second besides: what a worker does in between is no message.
        """
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    await self.pilot.pause(0)
                    self._news.clear()  # that of the pause itself, too: it sends a message to every widget
                    if condition():
                        return
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.1):
                            await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {DEADLINE:g} s: {what or condition}\n{self.screenshot()}") from None

    async def until_said(self, *contents: str) -> None:
        """The active panel shows exactly these as stored, in this order."""
        await self.until(lambda: self.said == list(contents), f"said: {contents}")

    async def until_toast(self, notice_id: str) -> None:
        await self.until(lambda: notice_id in self.toasts, notice_id)

    async def until_up(self, *, up: bool = True) -> None:
        await self.until(lambda: self.session.connection.is_connected is up, f"connected: {up}")

    async def until_channel(self, title: str) -> None:
        await self.until(lambda: any(one.title == title for one in self.world.channels.values()), title)

    async def until_shown(self, text: str, *, shown: bool = True) -> None:
        await self.until(lambda: (text in self.screenshot()) is shown, f"{text!r} shown: {shown}")

    async def do(self, action: Callable[[], object]) -> None:
        """Have the application do this in its own task: a test with several is in none of them."""
        self.app.call_later(action)
        await self.pilot.pause(0)

    async def confirm(self, key: str) -> None:
        """Answer yes or no."""
        await self.until(lambda: isinstance(self.app.screen, ConfirmDialog))
        await self.press(key)
        await self.until(lambda: self.app.screen is self.chat)

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            for _ in range(_QUEUE_HOPS):
                await self.pilot.pause(0)
            await self.until(lambda: self.app.input_order.is_idle or self.app._exit, f"{key} has its effect")

    async def type(self, *keys: str) -> None:
        """Have all these keys arrive before the application can look at the first."""
        for key in keys:
            name = {" ": "space", "\n": "ctrl+j", "\r": "enter", "\t": "tab", "\x7f": "backspace"}.get(key, key)
            self.app.post_message(events.Key(name, key if key.isprintable() and len(key) == 1 else None))
        await self.until(lambda: self.app.input_order.is_idle, f"{keys} have their effect")

    async def resize(self, columns: int, rows: int) -> None:
        await self.pilot.resize_terminal(columns, rows)
        await self.pilot.pause(0)

    def lines(self) -> list[str]:
        """The screen as it is, line by line."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    def is_drawn(self, text: str) -> bool:
        """True if this text is on the screen, on one line."""
        return any(text in line for line in self.lines())

    async def sign_in(self, name: str, *, register: bool = True) -> None:
        await self.until(lambda: self.app.screen.query("#password"))
        self.app.screen.query_one("#name", Input).value = name
        self.app.screen.query_one("#password", Input).value = PASSWORD
        await self.press("f2" if register else "f3")
        await self.until(lambda: isinstance(self.app.screen, ChatScreen), "the chat")
        await self.until(lambda: self.app.session and self.world.guilds, "the guilds")

    async def open(self, name: str, *, beside: bool = False) -> None:
        channel = self.channel(name)
        await self.do(lambda: self.chat.open(channel.id, beside=beside))
        await self.until(lambda: self.chat.active_channel == channel.id)
        await self.until(lambda: not self.world.history(channel.id).is_stale, f"the history of {name}")

    async def say(self, text: str) -> None:
        """Write and press Enter."""
        composer = self.panel.query_one(Composer)
        composer.focus()
        composer.write(text)
        await self.press("enter")

    async def answer(self, text: str = "") -> None:
        """Answer the question on top; without `text` as it suggests."""
        await self.until(lambda: isinstance(self.app.screen, PromptDialog) and isinstance(self.app.focused, Input))
        if text:
            self.app.screen.query_one(Input).value = text
        await self.press("enter")

    async def mark(self, content: str) -> None:
        """Highlight the message with this content."""
        messages = self.panel.query_one(MessageList)
        await self.until(lambda: content in self._contents(), content)
        messages.focus()
        await self.pilot.pause(0)
        messages.highlighted = self._contents().index(content)
        await self.pilot.pause(0)

    def _contents(self) -> list[str]:
        return [row.content for row in self.panel.query_one(MessageList).rows]


@asynccontextmanager
async def running_app(app: ChatApp, size: tuple[int, int] = (120, 32)) -> AsyncIterator[AppDriver]:
    """The application, until the end of the block."""
    news = asyncio.Event()

    def heard(message: TextualMessage) -> None:
        callback: Any = message.callback if isinstance(message, events.Callback) else None
        if getattr(callback, "__name__", "") != "decrement_counter":  # how the pilot itself waits
            news.set()

    with (
        mock.patch("textual.app.wait_for_idle", _without_idle_wait),
        mock.patch("textual.pilot.wait_for_idle", _without_idle_wait),
    ):
        async with app.run_test(size=size, notifications=True, message_hook=heard) as pilot:
            yield AppDriver(app, pilot, news)


async def _without_idle_wait(*_: object) -> None:
    """In place of Textual's wait, after each key, for a process that is idle: with several applications it never is."""


@asynccontextmanager
async def signed_in_driver(server: str, name: str, *, register: bool = True, **more: Any) -> AsyncIterator[AppDriver]:
    """An application with a signed-in user."""
    async with running_app(ChatApp(server, **more)) as driver:
        await driver.sign_in(name, register=register)
        yield driver


def _text_of(svg: str) -> str:
    """The lines of an exported screenshot as text: no colours, no fonts, no random names."""
    lines: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in re.findall(r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', svg):
        lines.setdefault(float(y), []).append((float(x), text))
    rows = ["".join(text for _, text in sorted(parts)) for _, parts in sorted(lines.items())]
    plain = "\n".join(rows).replace("&#160;", " ")
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&amp;", "&")):
        plain = plain.replace(entity, character)
    plain = re.sub(r"\b\d\d:\d\d(:\d\d)?\b", lambda found: re.sub(r"\d", "0", found[0]), plain)
    plain = re.sub(r"rtt \S+( ms)?", "rtt –", plain)
    plain = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:00000", plain)
    return "\n".join(line.rstrip() for line in plain.splitlines())
