"""Submitted messages that are not known to be stored: bounded, in order, each with a nonce."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace


class DraftState(enum.Enum):
    """The state of a draft."""

    WAITING = "waiting"
    SENDING = "sending"
    FAILED = "failed"


class Draft(Struct, frozen=True):
    """A submitted message. The nonce makes sending it again safe."""

    nonce: str
    channel_id: int
    content: str
    since: float
    """The time of its submission, or of the last retry, on the application's clock."""
    reply_to: int | None = None
    fate: DraftState = DraftState.WAITING
    reason: str = ""
    """The reason of a failure."""
    after: int = 0
    """The channel's newest known message at submission: the stored message comes after that one."""
    in_doubt: bool = False
    """True if the server may have the message: it was sent, and no answer says whether it was stored."""


class Outbox(Struct, frozen=True):
    """The drafts of all channels, in the order in which they were typed."""

    drafts: tuple[Draft, ...] = ()

    def __len__(self) -> int:
        return len(self.drafts)

    def find(self, nonce: str) -> Draft | None:
        """The draft with this nonce."""
        return next((draft for draft in self.drafts if draft.nonce == nonce), None)

    def of(self, channel_id: int) -> Iterator[Draft]:
        """The drafts of one channel."""
        return (draft for draft in self.drafts if draft.channel_id == channel_id)

    def next_of(self, channel_id: int) -> Draft | None:
        """The draft to be sent next in a channel; failed ones are skipped."""
        return next((draft for draft in self.of(channel_id) if draft.fate is not DraftState.FAILED), None)

    def add(self, draft: Draft) -> Outbox:
        """Return the outbox with one more draft, at the end."""
        return Outbox((*self.drafts, draft))

    def without(self, *nonces: str) -> Outbox:
        """Return the outbox without these drafts."""
        return Outbox(tuple(draft for draft in self.drafts if draft.nonce not in nonces))

    def mark(self, nonce: str, fate: DraftState, reason: str = "", *, in_doubt: bool = False) -> Outbox:
        """Return the outbox with another state of this draft."""
        return self._map(nonce, lambda draft: replace(draft, fate=fate, reason=reason, in_doubt=in_doubt))

    def unlink(self, nonce: str) -> Outbox:
        """Return the outbox with this draft waiting, and replying to nothing."""
        return self._map(nonce, lambda draft: replace(draft, fate=DraftState.WAITING, reply_to=None))

    def retry(self, nonce: str, now: float) -> Outbox:
        """Return the outbox with this draft waiting again, behind the others."""
        draft = self.find(nonce)
        if draft is None:
            return self
        return self.without(nonce).add(replace(draft, fate=DraftState.WAITING, reason="", since=now))

    def _map(self, nonce: str, change: Callable[[Draft], Draft]) -> Outbox:
        return Outbox(tuple(change(draft) if draft.nonce == nonce else draft for draft in self.drafts))
