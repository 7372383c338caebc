"""The chat's page in a tab of any browser."""

from __future__ import annotations

from typing import Final

from .tab import Tab

PASSWORD: Final = "correct horse battery"
FIELD: Final = ".composer-field"
MESSAGE: Final = "article.message .content"

# One row has the text, and no note that it waits or has failed.
_IS_SENT: Final = """(text) => {
    const rows = [...document.querySelectorAll('article.message')];
    const found = rows.filter((row) => row.querySelector('.content')?.textContent.includes(text));
    return found.length === 1 && !found[0].querySelector('.fate');
}"""


class ChatPage:
    """A person at the chat's page, in one tab."""

    def __init__(self, tab: Tab, url: str) -> None:
        self.tab = tab
        self.url = url

    async def sign_in(self, name: str, *, new: bool = False, stay: bool = False) -> None:
        """Open the page, fill in the form by the keyboard, and wait for a connection."""
        await self.tab.goto(self.url)
        await self.tab.see("form")
        if new:
            await self.tab.click("form button.link", "Create an account")
        if stay:
            await self.tab.click("#remember")
        await self.tab.click("#name")
        await self.tab.type(name)
        await self.tab.click("#password")
        await self.tab.type(PASSWORD)
        await self.tab.press("Enter")
        await self.connected()

    async def connected(self) -> None:
        """Wait for a connection."""
        await self.tab.see('.connection[data-state="connected"]')

    async def disconnected(self) -> None:
        """Wait until the page is without a connection: between its attempts, or in one."""
        await self.tab.see('.connection:not([data-state="connected"])')

    async def open(self, channel: str) -> None:
        """Go to a channel by its name in the list."""
        await self.tab.click("nav.sidebar a.channel", channel)
        await self.tab.see(".topbar h1", channel)

    async def type(self, text: str) -> None:
        """Type into the field for messages."""
        await self.tab.click(FIELD)
        await self.tab.type(text)

    async def write(self, text: str) -> None:
        """Write a message, and send it."""
        await self.type(text)
        await self.tab.press("Enter")

    async def sent(self, text: str) -> None:
        """Wait until a message is drawn once, and is stored."""
        await self.tab.wait_for(_IS_SENT, text)

    async def draft(self, text: str) -> None:
        """Wait until this is in the field for messages."""
        await self.tab.wait_for("([field, text]) => document.querySelector(field)?.value === text", [FIELD, text])

    async def focused(self, selector: str) -> None:
        """Wait until keys reach an element."""
        await self.tab.wait_for("(selector) => document.activeElement?.matches(selector)", selector)

    async def title(self, text: str) -> None:
        """Wait for a title of the page."""
        await self.tab.wait_for("(text) => document.title === text", text)

    async def choose(self, text: str, button: str) -> None:
        """Press a button of a message, by its name; the buttons come with the pointer."""
        await self.tab.point_at(MESSAGE, text)
        await self.tab.click(f'.toolbar button[aria-label="{button}"]')
