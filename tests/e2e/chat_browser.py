"""The chat's page in a browser: what a person sees and does there."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from tests.support.commands import read_introduction, start_command
from tools.screenshots import PASSWORD

DEADLINE_MS = 20_000
expect.set_options(timeout=DEADLINE_MS)


class PagePerson:
    """One page of one person. Errors of the page, and requests to anywhere else, fail the test at its end."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.problems: list[str] = []
        page.set_default_timeout(DEADLINE_MS)
        page.on("pageerror", lambda error: self.problems.append(f"{error}\n{error.stack}"))
        page.on("request", lambda request: self._check_address(request.url))
        page.on("console", lambda message: self._check_console(message.text))

    def _check_address(self, address: str) -> None:
        if not address.startswith((self.url, self.url.replace("http", "ws", 1))):
            self.problems.append(f"a request to {address}")

    def _check_console(self, text: str) -> None:
        if "Content Security Policy" in text or "TrustedHTML" in text:
            self.problems.append(text)

    @property
    def field(self) -> Locator:
        """Where a message is written."""
        return self.page.locator(".composer-field")

    @property
    def pill(self) -> Locator:
        """The state of the connection."""
        return self.page.locator(".connection")

    def message(self, text: str) -> Locator:
        """The row of a message with this text."""
        return self.page.locator("article.message").filter(has=self.page.locator(".content", has_text=text))

    async def sign_in(self, name: str, *, new: bool = False) -> None:
        """Fill in the form, and wait for a connection."""
        await self.page.goto(self.url)
        if new:
            await self.page.get_by_role("button", name="Create an account").click()
        await self.sign_in_here(name)

    async def sign_in_here(self, name: str) -> None:
        """Fill in the form that is shown, and wait for a connection."""
        await self.page.get_by_label("Name").fill(name)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.keyboard.press("Enter")
        await self.connected()

    async def connected(self) -> None:
        """Wait for a connection."""
        await expect(self.pill).to_have_attribute("data-state", "connected")

    async def open(self, channel: str) -> None:
        """Go to a channel by its name in the list."""
        await self.page.locator("nav.sidebar a.channel", has_text=channel).click()
        await expect(self.page.locator(".topbar h1")).to_contain_text(channel)

    async def write(self, text: str) -> None:
        """Write a message, and send it."""
        await self.field.fill(text)
        await self.field.press("Enter")

    async def sent(self, text: str) -> None:
        """Wait until a message of one's own is stored."""
        await expect(self.message(text)).to_be_visible()
        await expect(self.message(text).locator(".fate")).to_have_count(0)

    async def texts(self) -> list[str]:
        """The texts of the messages that are drawn."""
        found: list[str] = await self.page.locator("article.message .content").all_inner_texts()
        return found


@asynccontextmanager
async def person(browser: Browser, url: str, **options: Any) -> AsyncIterator[PagePerson]:
    """A person with a browser profile of their own."""
    context = await browser.new_context(**{"viewport": {"width": 1200, "height": 760}, **options})
    try:
        async with page_of(context, url) as one:
            yield one
    finally:
        await context.close()


@asynccontextmanager
async def page_of(context: BrowserContext, url: str) -> AsyncIterator[PagePerson]:
    """One more tab of a profile."""
    one = PagePerson(await context.new_page(), url)
    yield one
    assert one.problems == []


class ServerOfPage:
    """``onesocket serve`` in a process of its own, on one port and one file."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self._options = options
        self._port = "0"
        self._process: asyncio.subprocess.Process
        self.url = ""

    async def start(self) -> None:
        """Start it; the second time on the same port."""
        data = ("--data", str(self.directory), "--port", self._port)
        self._process = await start_command("serve", *data, *self._options)
        lines = await read_introduction(self._process, "stop")
        assert lines, (await self._process.communicate())[1]
        self.url = lines[0].split()[-1]
        assert lines[0].startswith("chat"), lines
        self._port = self.url.rstrip("/").rpartition(":")[2]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it at once, as ``kill -9`` does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


@asynccontextmanager
async def serve_process(directory: Path, *options: str) -> AsyncIterator[ServerOfPage]:
    """``onesocket serve`` on a new file."""
    if sys.platform == "win32":
        raise RuntimeError("these tests need signals")
    server = ServerOfPage(directory, *options)
    await server.start()
    try:
        yield server
    finally:
        server.signal(signal.SIGCONT)
        await server.kill()
