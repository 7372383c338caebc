"""Draw the pictures of the chat in docs/images: the real application, on a real server.

``python -m tools.screenshots`` needs the extras `chat` and `tests`, and a Chromium.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, async_playwright, expect
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


class NoChromium(RuntimeError):
    """There is no browser."""


def find_chromium() -> str:
    """The browser: $CHROMIUM, or one of the usual names. Raises `NoChromium`."""
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None or shutil.which(found) is None:
        raise NoChromium("no Chromium was found: install one (apt-get install chromium), or name it in $CHROMIUM")
    return found


@asynccontextmanager
async def browser(*arguments: str) -> AsyncIterator[Browser]:
    """A headless Chromium, with these arguments."""
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", *arguments])
        try:
            yield one
        finally:
            await one.close()


# --- the pictures ----------------------------------------------------------------------------------------------------


async def draw() -> None:
    """All of them."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ChatServer())
        await populate(server, stack)
        await _draw_terminal(server)
        await _draw_browser(server)


async def populate(server: ChatServer, stack: AsyncExitStack) -> None:
    """Fill a server with people who talk."""

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
        await pilot.press("f6", "escape")  # and without the hint of the first run
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
    async with browser() as chromium:
        await draw_page(server, chromium, IMAGES)


async def draw_page(server: ChatServer, chromium: Browser, folder: Path) -> None:
    """Draw the page as bob sees it: wide and light, dark, on a phone, and without a connection."""
    bob = await chromium.new_page(viewport={"width": 1200, "height": 720}, color_scheme="light")
    await bob.goto(server.page_url)
    await bob.get_by_label("Name").fill("bob")
    await bob.get_by_label("Password").fill(PASSWORD)
    await bob.keyboard.press("Enter")
    last = bob.locator("article.message").last
    await expect(last).to_contain_text("Today: 21 °C")
    await bob.locator(".composer-field").fill("Hello from a browser.")
    await bob.keyboard.press("Enter")
    await expect(last).to_contain_text("Hello from a browser.")
    await expect(last.locator(".fate")).to_have_count(0)
    await bob.screenshot(path=folder / "chat-browser.png", animations="disabled")
    await bob.emulate_media(color_scheme="dark")
    await last.hover()
    await bob.screenshot(path=folder / "chat-browser-dark.png", animations="disabled")
    await bob.set_viewport_size({"width": 390, "height": 720})
    await bob.emulate_media(color_scheme="light")
    await bob.screenshot(path=folder / "chat-browser-phone.png", animations="disabled")
    await bob.set_viewport_size({"width": 1200, "height": 720})
    with server.faults.refuse_upgrade(503, times=None):
        await server.faults.drop_connection(user="bob")
        await expect(bob.locator(".notice")).to_be_visible()
        await bob.locator(".composer-field").fill("This waits until the connection is back.")
        await bob.keyboard.press("Enter")
        await expect(last.locator(".fate")).to_contain_text("Waits for the connection")
        await bob.screenshot(path=folder / "chat-browser-offline.png", animations="disabled")
    await bob.close()


if __name__ == "__main__":
    asyncio.run(draw())
