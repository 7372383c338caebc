"""Draw the pictures of the chat in docs/images: the real application, on a real server.

``python -m tools.screenshots`` needs the extras `chat` and `tests`, and a Chromium.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page, WebSocket, async_playwright
from textual.pilot import Pilot
from textual.widgets import Input

from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket_chat import ChatApp
from onesocket_chat.screens._chat import ChatScreen
from onesocket_chat.session import SessionOptions
from onesocket_chat.widgets._composer import Composer
from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer

IMAGES: Final = Path(__file__).parent.parent / "docs" / "images"
PASSWORD: Final = "correct horse battery"  # noqa: S105 - of people who live for a second
_DEADLINE: Final = 20.0
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_KEYS: Final = frozenset({"ArrowLeft", "Backspace", "Enter", "Tab", "Escape", "F2", "F3", "F5", "Control+q"})
_CONTROL: Final = re.compile(r"\x1b(?:\[[0-9;?]*[a-zA-Z$]|\][^\x07]*\x07)")


class NoChromium(RuntimeError):
    """There is no browser."""


def find_chromium() -> str:
    """The browser: $CHROMIUM, or one of the usual names. Raises `NoChromium`."""
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None or shutil.which(found) is None:
        raise NoChromium("no Chromium was found: install one (apt-get install chromium), or name it in $CHROMIUM")
    return found


class TerminalPage:
    """One page with a terminal in it, and the text that the application drew there."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._drawn = bytearray()
        self._news = asyncio.Event()
        page.on("websocket", self._watch)

    @property
    def drawn(self) -> str:
        """Everything that was drawn since `forget()`, without colours and positions."""
        return _CONTROL.sub("", self._drawn.decode("utf-8", "replace"))

    def forget(self) -> None:
        """Look from now on."""
        self._drawn.clear()

    async def until_drawn(self, text: str) -> None:
        """Wait until this text was drawn."""
        try:
            async with asyncio.timeout(_DEADLINE):
                while text not in self.drawn:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not drawn within {_DEADLINE:g} s, but {self.drawn[-2000:]!r}") from None

    async def begin(self) -> None:
        """Give the terminal the keyboard, by a click at the edge, where nothing else is."""
        await self.page.mouse.click(3, 3)

    async def press(self, *keys: str) -> None:
        """Keys by name, or text."""
        for key in keys:
            await (self.page.keyboard.press(key) if key in _KEYS else self.page.keyboard.type(key))

    def _watch(self, line: WebSocket) -> None:
        line.on("framereceived", self._draw)

    def _draw(self, data: str | bytes) -> None:
        self._drawn += data if isinstance(data, bytes) else data.encode()
        self._news.set()


@asynccontextmanager
async def browser(*arguments: str) -> AsyncIterator[Browser]:
    """A headless Chromium, with these arguments."""
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", *arguments])
        try:
            yield one
        finally:
            await one.close()


@asynccontextmanager
async def web_chat(server: str, user: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """``onesocket chat --web`` as its own process, and where it is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "onesocket", "chat", "--web", "--server", server, "--user", user, "--port", str(port)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await _listening(port, process)
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(_DEADLINE):
            await process.wait()


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until somebody listens: only trying can tell, for a process of its own."""
    async with asyncio.timeout(_DEADLINE):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                await writer.wait_closed()
                return
    raise RuntimeError(f"onesocket chat --web ended with {process.returncode}")


# --- the pictures ----------------------------------------------------------------------------------------------------


async def draw() -> None:
    """All of them."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ChatServer())
        await _populate(server, stack)
        await _draw_terminal(server)
        await _draw_browser(server)


async def _populate(server: ChatServer, stack: AsyncExitStack) -> None:
    async def rest(token: str, *, bot: bool = False) -> Rest:
        one = Rest(token, api_url=server.api_url, token_type="Bot" if bot else None)
        return await stack.enter_async_context(one)

    eve = await rest(await server.create_user("eve", PASSWORD))
    ada = await rest(await server.create_user("ada", PASSWORD))
    bob = await rest(await server.create_user("bob", PASSWORD))
    weather = await rest(await server.create_bot("weather"), bot=True)
    guild = (await eve.guilds())[0]["id"]
    general = (await eve.guild_channels(guild))[0]["id"]
    for name in ("releases", "random"):
        made = await eve.create_channel(guild, name)
        await bob.send_message(made["id"], f"first in #{name}")
    question = await bob.send_message(general, "Does anybody see the feed twice since the update?")
    await ada.send_message(general, "No, once. One line, and every panel joins it.", reply_to=question["id"])
    last = await eve.send_message(general, "[bold]Markup[/bold] stays what it is: text.")
    forecast = await weather.send_message(general, "Today: 21 °C, clear. Wind from the west.")
    for rest_of, message, emoji in ((ada, forecast, "👍"), (eve, forecast, "👍"), (bob, last, "🎉")):
        await rest_of.add_reaction(general, message["id"], emoji)
    await eve.edit_message(general, last["id"], "[bold]Markup[/bold] stays what it is: just text.")


async def _draw_terminal(server: ChatServer) -> None:
    options = SessionOptions(reconnect=ReconnectPolicy(initial=60.0, cap=60.0))
    app = ChatApp(server.api_url, "ada", options=options)
    async with app.run_test(size=(112, 30), notifications=True) as pilot:
        await _sign_in(app, pilot)
        screen = next(one for one in app.screen_stack if isinstance(one, ChatScreen))
        world = screen.session.store.state
        for name in ("#general", "#random"):
            channel = next(one for one in world.channels.values() if one.title == name)
            app.call_later(screen.open, channel.id, beside=True)
            await _until(pilot, partial(_is_loaded, screen, channel.id))
        await pilot.press("f6")
        await _save(app, pilot, "chat-terminal.svg")
        with server.faults.refuse_upgrade(503, times=None):
            await server.faults.drop_connection(user="ada")
            await _until(pilot, lambda: "connection-lost" in app.toasts.shown)
            composer = screen.panels[0].query_one(Composer)
            composer.focus()
            composer.write("This waits until the line is back.")
            await pilot.press("enter")
            await _save(app, pilot, "chat-offline.svg")


async def _sign_in(app: ChatApp, pilot: Pilot[None]) -> None:
    await _until(pilot, lambda: app.screen.query("#password"))
    app.screen.query_one("#password", Input).value = PASSWORD
    await pilot.press("f3")
    await _until(pilot, lambda: app.session is not None and app.session.store.state.guilds)


async def _until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    async with asyncio.timeout(_DEADLINE):
        while not condition():
            await pilot.pause()


def _is_loaded(screen: ChatScreen, channel_id: int) -> bool:
    return not screen.session.store.state.history(channel_id).is_stale


async def _save(app: ChatApp, pilot: Pilot[None], name: str) -> None:
    await pilot.pause()
    svg = app.export_screenshot(title="onesocket chat", simplify=True)
    (IMAGES / name).write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8720", svg), "utf-8")


async def _draw_browser(server: ChatServer) -> None:
    async with web_chat(server.api_url, "bob") as (url, _), browser() as chromium:
        screen = TerminalPage(await chromium.new_page(viewport={"width": 1120, "height": 640}))
        await screen.page.goto(url, wait_until="commit")
        await screen.until_drawn("Password")
        await screen.begin()
        await screen.press(PASSWORD, "Enter")
        await screen.until_drawn("#general")
        await screen.press("F2")
        await screen.until_drawn("Message")
        await screen.until_drawn("weather")
        await screen.press("Hello from a browser.", "Enter")
        await screen.until_drawn("Hello from a browser.")
        await screen.page.wait_for_timeout(1_000)  # until it is stored; a picture, not a test
        await screen.page.screenshot(path=IMAGES / "chat-browser.png")


if __name__ == "__main__":
    asyncio.run(draw())
