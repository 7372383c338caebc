"""A user of `onesocket chat` who types into several panels in turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

from onesocket_chat import ChatApp
from onesocket_chat.model._models import Message
from onesocket_chat.model._outbox import Draft, DraftState
from onesocket_chat.widgets._channel_panel import ChannelPanel
from onesocket_chat.widgets._message_list import MessageList
from tests.campaigns.compat.ledger import TrialLedger
from tests.unit.onesocket_chat.driver import AppDriver, running_app

_SIZE: Final = 200, 44
_MOST_UNSENT: Final = 4
"""Limit of unsent messages, so that the whole outbox is on the screen."""
_EVERY: Final = 3
"""Every so many messages, the user asks the bot for an answer."""


class ChatUser:
    """The user of one application; records the typed messages in the ledger."""

    def __init__(self, name: str, driver: AppDriver, ledger: TrialLedger) -> None:
        self.name = name
        self.driver = driver
        self._ledger = ledger
        self._number = 0
        self._unsent: dict[str, str] = {}
        driver.session.store.listen(self._look_at_outbox)

    def __repr__(self) -> str:
        return f"<ChatUser {self.name}, {self._number} messages>"

    @property
    def typed(self) -> int:
        """How many messages so far."""
        return self._number

    @property
    def channels(self) -> list[int]:
        """The ids of those that are open."""
        return [panel.channel_id for panel in self.driver.chat.panels]

    @property
    def drafts(self) -> Sequence[Draft]:
        """The messages that are not known to be stored."""
        return self.driver.world.outbox.drafts

    @property
    def in_flight(self) -> int:
        """How many messages are on their way to the server."""
        return sum(draft.fate is DraftState.SENDING for draft in self.drafts)

    def shown(self, channel_id: int) -> list[tuple[int, str]]:
        """Id and content of what this channel's panel shows as stored."""
        return [(row.id, row.content) for row in self._rows(channel_id) if isinstance(row, Message)]

    def pending(self, channel_id: int) -> list[Draft]:
        """The messages that this channel's panel shows as not stored yet."""
        return [row for row in self._rows(channel_id) if isinstance(row, Draft)]

    async def open(self, channels: Sequence[str]) -> None:
        """Show these channels side by side."""
        for name in channels:
            await self.driver.until_channel(name)
            await self.driver.open(name, beside=True)

    async def say(self, question: bool = False) -> str:
        """Type a message in the next panel; returns its content."""
        await self.driver.press("f6")
        self._number += 1
        content = f"{'say pong' if question else 'word'} {self.name} {self._number}"
        self._ledger.note(self.name, self.driver.panel.channel_id, content)
        await self.driver.say(content)
        return content

    async def keep_typing(self, enough: asyncio.Event) -> None:
        """One message after the other, until it is enough; while the connection is down only a few."""
        while not enough.is_set():
            await self.say(question=self._number % _EVERY == 0)
            await self.driver.until(lambda: enough.is_set() or len(self.drafts) < _MOST_UNSENT)

    async def until_offline(self) -> list[str]:
        """Wait until the screen shows the outage and the pending messages; returns their contents."""
        await self.driver.until_up(up=False)
        await self.driver.until_toast("connection-lost")
        waiting = [DraftState.WAITING] * _MOST_UNSENT
        await self.driver.until(lambda: [draft.fate for draft in self.drafts] == waiting, "pending messages")
        await self.driver.until(self._shows_drafts, "pending messages on the screen")
        await self.driver.until_shown("waiting for the connection")
        return [draft.content for draft in self.drafts]

    async def until_back(self) -> None:
        """Wait until the connection is up, everything was sent, and nothing is complained of."""
        await self.driver.until_up()
        await self.driver.until(lambda: not self.drafts, "an empty outbox")
        await self.driver.until(lambda: not self.driver.toasts, "no toasts")
        await self.driver.until_shown("waiting for the connection", shown=False)

    async def until_shown(self, content: str) -> None:
        """Wait until some panel shows this as stored."""
        await self.driver.until(partial(self._shows, content), content)

    def _shows(self, content: str) -> bool:
        return any(text == content for channel_id in self.channels for _, text in self.shown(channel_id))

    def _shows_drafts(self) -> bool:
        shown = [draft for channel_id in self.channels for draft in self.pending(channel_id)]
        return sorted(draft.nonce for draft in shown) == sorted(draft.nonce for draft in self.drafts)

    def _rows(self, channel_id: int) -> Sequence[Message | Draft]:
        panel: ChannelPanel = next(one for one in self.driver.chat.panels if one.channel_id == channel_id)
        return panel.query_one(MessageList).rows

    def _look_at_outbox(self) -> None:
        unsent = {draft.nonce: draft.content for draft in self.drafts}
        self._ledger.acknowledged.update(text for nonce, text in self._unsent.items() if nonce not in unsent)
        self._unsent = unsent


@contextlib.asynccontextmanager
async def signed_in_user(api_url: str, name: str, ledger: TrialLedger, **more: Any) -> AsyncIterator[ChatUser]:
    """A user who has registered by the form and is signed in."""
    async with running_app(ChatApp(api_url, **more), _SIZE) as driver:
        await driver.sign_in(name)
        yield ChatUser(name, driver, ledger)
