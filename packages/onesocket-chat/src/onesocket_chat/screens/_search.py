"""Searches the messages of a guild or a conversation, and goes to one."""

from __future__ import annotations

from textual import work
from textual.content import Content

from ..model._models import Message
from ..model._safe_text import one_line
from ..session._session import ChatSession
from ..widgets._rows import BLOCKED_TEXT, format_time, is_blocked, preview
from ._picker import PickerScreen


class SearchScreen(PickerScreen[Message]):
    """Asks the server when Enter is pressed; then Enter goes to the message that is highlighted."""

    def __init__(self, session: ChatSession, channel_id: int) -> None:
        channel = session.store.state.channels.get(channel_id)
        guild = session.store.state.guilds.get(channel.guild_id or 0) if channel is not None else None
        place = guild.name if guild is not None else channel.title if channel is not None else "this channel"
        super().__init__(f"Search {one_line(place, 40)}", "Enter searches, Escape goes back")
        self._session = session
        self._channel_id = channel_id
        self._searched = ""
        self._total = 0

    def enter(self, text: str) -> None:
        """Search for the text, or go to the message that was found for it."""
        text = text.strip()
        if text and text != self._searched:
            self._searched = text
            self.show_entries([])
            self.show_hint("searching …")
            self._search(text)
        else:
            super().enter(text)

    def action_move(self, how: str) -> None:
        """Move the choice; at the last one, load more."""
        super().action_move(how)
        options = self.options
        if options.highlighted == len(self._entries) - 1 < self._total - 1:
            self._search(self._searched, len(self._entries))

    @work(exclusive=True, group="search")
    async def _search(self, text: str, offset: int = 0) -> None:
        found = await self._session.search.find(self._channel_id, text, offset)
        if not self.is_attached:
            return
        if found is None:  # a notice says why
            self._searched = ""
            self.show_hint("Enter searches, Escape goes back")
            return
        self._total = found.total
        self.show_entries([(message, self._line(message, text)) for message in found.messages], keep=bool(offset))
        shown = f"{len(self._entries)} of {found.total}" if found.total > len(self._entries) else str(found.total)
        self.show_hint(f"{shown} found: ↑ ↓ choose, Enter goes there" if found.total else "nothing was found")

    def _line(self, message: Message, text: str) -> Content:
        state = self._session.store.state
        channel = state.channels.get(message.channel_id)
        title = one_line(channel.title, 32) if channel is not None else "#?"
        content = BLOCKED_TEXT if is_blocked(message, state) else preview(message.content, state, 400)
        at = max(0, content.casefold().find(text.casefold()))
        start = max(0, at - 30)
        shown = ("…" if start else "") + one_line(content[start:], 120)
        line = Content(shown)
        match = shown.casefold().find(text.casefold())
        if match >= 0:
            line = line.stylize("bold $text-warning", match, match + len(text))
        head = Content.assemble(
            (one_line(message.author.username, 32) or "somebody", "bold"),
            (f"  {title}  {format_time(message.timestamp)}", "dim"),
        )
        return Content("\n").join([head, line])
