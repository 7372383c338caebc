"""One channel's messages: a stretch without holes, in the order of their ids."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from ._models import Message

PAGE_SIZE = 50
"""Messages of one page."""
MAX_MESSAGES = 500
"""Messages of one channel that are kept at most; those farthest from the reader go first, and can be paged in again."""


class ChannelHistory(Struct, frozen=True):
    """The loaded messages of a channel, up to its newest one, unless it is stale or anchored."""

    messages: tuple[Message, ...] = ()
    anchor: int | None = None
    """The message near which the reader is, far back: newer ones than those loaded exist. None: there are none."""
    missed: int = 0
    """The number of new messages that were not added, as they come after newer ones that are not loaded."""
    is_whole: bool = False
    """True if it begins with the channel's first message."""
    is_stale: bool = True
    """True if messages may be missing at its end: it was never loaded, or there was a gap."""
    removed: frozenset[int] = frozenset()
    """Messages deleted while it was stale: a page requested before must not restore them."""
    touched: int = 0
    """The number of other changes while it was stale: a page requested before may be outdated."""

    @property
    def newest(self) -> int:
        """The id of the last message; 0 without any."""
        return self.messages[-1].id if self.messages else 0

    @property
    def oldest(self) -> int | None:
        """The id of the first message; None without any."""
        return self.messages[0].id if self.messages else None

    def find(self, message_id: int) -> Message | None:
        """The message, if it is loaded."""
        position = self._position(message_id)
        known = position < len(self.messages) and self.messages[position].id == message_id
        return self.messages[position] if known else None

    def is_deleted(self, message_id: int) -> bool:
        """True if this message, which was there, is known to be deleted."""
        is_inside = self.oldest is not None and self.oldest <= message_id <= self.newest
        return message_id in self.removed or (not self.is_stale and is_inside and self.find(message_id) is None)

    def put(self, message: Message) -> ChannelHistory:
        """Add or replace a message."""
        if message.id in self.removed:
            return self
        if self.anchor is not None and message.id > self.newest:
            return replace(self, missed=self.missed + 1)
        position = self._position(message.id)
        known = position < len(self.messages) and self.messages[position].id == message.id
        messages = (*self.messages[:position], message, *self.messages[position + known :])
        if len(messages) > MAX_MESSAGES:
            return replace(self, messages=messages[-MAX_MESSAGES:], is_whole=False)
        return replace(self, messages=messages)

    def drop(self, message_ids: Iterable[int]) -> ChannelHistory:
        """Remove messages."""
        gone = frozenset(message_ids)
        left = tuple(message for message in self.messages if message.id not in gone)
        if not self.is_stale:
            return replace(self, messages=left)
        # Bounded: only deletions while a page is being loaded matter, which takes seconds.
        removed = self.removed | gone if len(self.removed) < MAX_MESSAGES else gone
        return replace(self, messages=left, removed=removed)

    def stale(self) -> ChannelHistory:
        """Mark the history as stale."""
        return replace(self, is_stale=True)

    def touch(self) -> ChannelHistory:
        """Count a change of one of its messages."""
        return replace(self, touched=self.touched + 1) if self.is_stale else self

    def aimed(self, anchor: int | None) -> ChannelHistory:
        """Mark the history as stale, to be loaded around this message; None: up to the newest one."""
        return replace(self, anchor=anchor, is_stale=True, removed=frozenset(), touched=0)

    def renewed(self, page: Iterable[Message], since: int) -> ChannelHistory:
        """Replace the messages by the newest page, and those after `since`, the newest one when the page was requested.

        Earlier messages are dropped: there may be a hole between them and the page. If it is anchored, the page
        is the one around the anchor, and replaces all.
        """
        found = {message.id: message for message in page}
        later = {} if self.anchor is not None else {one.id: one for one in self.messages if one.id > since}
        merged = later | found
        messages = tuple(merged[key] for key in sorted(merged) if key not in self.removed)
        return ChannelHistory(
            messages=messages[-MAX_MESSAGES:],
            anchor=self.anchor,
            is_whole=len(found) < PAGE_SIZE and self.anchor is None,
            is_stale=False,
        )

    def extended(self, page: Iterable[Message]) -> ChannelHistory:
        """Add an older page before it; beyond `MAX_MESSAGES` the newest go, and it is anchored."""
        first = self.oldest
        found = {message.id: message for message in page}
        older = [found[key] for key in sorted(found) if (first is None or key < first) and key not in self.removed]
        messages = (*older, *self.messages)
        return replace(
            self,
            messages=messages[:MAX_MESSAGES],
            anchor=first if len(messages) > MAX_MESSAGES else self.anchor,
            is_whole=len(found) < PAGE_SIZE,
        )

    def appended(self, page: Iterable[Message], missed: int) -> ChannelHistory:
        """Add a newer page behind an anchored history; beyond `MAX_MESSAGES` the oldest go.

        `missed`: that of the history when the page was requested. A page that ends with the newest message ends the
        anchoring.
        """
        found = {message.id: message for message in page}
        newer = [found[key] for key in sorted(found) if key > self.newest and key not in self.removed]
        messages = (*self.messages, *newer)
        is_newest = len(found) < PAGE_SIZE and self.missed == missed
        return replace(
            self,
            messages=messages[-MAX_MESSAGES:],
            anchor=None if is_newest else self.newest,
            is_whole=self.is_whole and len(messages) <= MAX_MESSAGES,
        )

    def _position(self, message_id: int) -> int:
        return bisect.bisect_left(self.messages, message_id, key=lambda message: message.id)
