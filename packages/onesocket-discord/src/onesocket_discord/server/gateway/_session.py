"""One session: what a client sees of the world, numbered, and kept for when it comes back."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .._ports import Account
from . import _intents as bits
from ._close_codes import CloseStatus
from ._options import GatewayOptions
from ._server_payloads import EncodedDispatch, PublishedDispatch


class SessionConnection(Protocol):
    """A connection, as sessions and faults see it."""

    @property
    def session(self) -> GatewaySession | None:
        """The one that it carries now."""
        ...

    def close(self, close: CloseStatus) -> None:
        """Close in order; the session, if there is one, can be resumed."""


class GatewaySession:
    """From READY until it ends: through as many connections as its client needs."""

    __slots__ = (
        "_limits",
        "account",
        "blind",
        "connection",
        "early",
        "id",
        "intents",
        "login",
        "plain",
        "presence",
        "present",
        "replay",
        "replay_bytes",
        "seq",
        "shard",
        "timer",
        "write",
    )

    def __init__(
        self, account: Account, login: bytes, intents: int, shard: tuple[int, int], options: GatewayOptions
    ) -> None:
        self.id = secrets.token_hex(16)
        self.login = login
        """The digest of the token that it was begun or resumed with."""
        self.account = account
        self.intents = intents
        self.shard = shard
        """Its number, and of how many."""
        self.blind = account.bot and not intents & bits.MESSAGE_CONTENT
        """Whether the content of messages is hidden from it."""
        self.seq = 0
        """The number of the last dispatch."""
        self.connection: SessionConnection | None = None
        self.write: Callable[[bytes], object] | None = None
        """Where dispatches go; None while there is no connection."""
        self.early: list[PublishedDispatch] | None = []
        """Events from before READY was sent; None afterwards."""
        self.plain = False
        """Whether an event needs no second look: READY was sent, and there is only one shard."""
        self.presence: dict[str, Any] = {"status": "online", "activities": []}
        self.present = False
        """Whether its user is shown as being there because of it."""
        self.timer: Any = None
        """Ends it, or its presence, when nobody comes back."""
        self.replay: deque[EncodedDispatch] = deque(maxlen=options.replay_count)
        """The last dispatches. The oldest give way, by their number or by their bytes."""
        self.replay_bytes = 0
        """The bytes of the dispatches since the last look at them; too many rather than too few."""
        self._limits = options.replay_count, options.replay_bytes

    def __repr__(self) -> str:
        state = "live" if self.write is not None else "waiting"
        return f"<Session of {self.account.username!r} seq={self.seq} {state}>"

    def begin(self) -> list[PublishedDispatch]:
        """From now on dispatches are pushed. Returns what has happened before."""
        early, self.early = self.early or [], None
        self.plain = self.shard[1] == 1
        return early

    def offer(self, dispatch: PublishedDispatch) -> None:
        """Push the event, if it is for this session, in the form that it may see."""
        number, count = self.shard
        if self.early is not None:
            if len(self.early) < self._limits[0]:  # a list that is full ends it
                self.early.append(dispatch)
        elif (not dispatch.intents or self.intents & dispatch.intents) and dispatch.place % count == number:
            audience = dispatch.audience
            if self.blind and audience is not None and self.account.user_id not in audience:
                self.push(dispatch.hidden)
            else:
                self.push(dispatch.shown)

    def push(self, body: EncodedDispatch) -> None:
        """Number a dispatch, keep it, and write it if somebody is there."""
        seq = self.seq = self.seq + 1
        self.replay.append(body)
        self.replay_bytes += body.size
        if self.replay_bytes > self._limits[1]:
            self.trim()
        if self.write is not None:
            self.write(body.frame(seq))

    def trim(self) -> None:
        """Let the oldest dispatches go until their bytes are within the limit."""
        size = sum(body.size for body in self.replay)
        # Down to half of it: the next look is to be far away.
        while self.replay and size > self._limits[1] // 2:
            size -= self.replay.popleft().size
        self.replay_bytes = size

    def covers(self, seq: int) -> bool:
        """Whether everything after `seq` is still there."""
        return self.seq - len(self.replay) <= seq <= self.seq

    def missed(self, seq: int) -> Iterator[bytes]:
        """Everything after `seq`, in order."""
        first = self.seq - len(self.replay) + 1
        for number, body in enumerate(tuple(self.replay), first):
            if number > seq:
                yield body.frame(number)
