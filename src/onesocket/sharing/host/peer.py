"""One follower, as its owner sees it: bounded, whatever it does."""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
from collections.abc import Mapping
from typing import Any, Final, Protocol

from ...client.gap import Gap, GapReason
from ...errors import OnesocketError
from ..agreement import dial_conflict, first_difference, proofs_of
from .convey import failure_of, missing_of
from .errors import OtherRelease, OtherToken, OtherUser, WireError
from .feed import joined
from .frames import (
    PROTOCOL,
    Ask,
    Challenge,
    Hello,
    Inspect,
    LetGo,
    Post,
    Refused,
    Results,
    Want,
    Withdraw,
    pack,
    read_as_owner,
)
from .stream import Stream

_WINDOW: Final = 4096
"""Messages and questions of one follower that may be without a result; then it's not read until half have one."""


class PeerOwner(Protocol):
    """What a peer tells the owner."""

    secret: bytes
    digests: Mapping[str, str]
    release: str
    buffer: int
    cut_off_after: float
    attach_timeout: float

    def attached(self, peer: Peer) -> bool:
        """It passed. False: there's no place for it."""
        ...

    def detached(self, peer: Peer) -> None:
        """It's gone."""

    def inspected(self, peer: Peer) -> None:
        """Somebody wants to know how things stand."""

    def posted(self, peer: Peer, messages: list[tuple[int, Any]]) -> None:
        """It wants these to be sent."""

    def asked(self, peer: Peer, number: int, verb: str) -> None:
        """It wants connect, reconnect or disconnect."""

    def withdrawn(self, peer: Peer, number: int) -> None:
        """It doesn't want that any more."""

    def wants(self, peer: Peer, add: list[Any], remove: list[Any]) -> None:
        """Its subscriptions changed."""

    def told_to_let_go(self) -> None:
        """We were silent for too long."""

    @property
    def epoch(self) -> int:
        """Of the present line."""
        ...


class Peer(Stream):
    """Owner's end of one follower's socket."""

    def __init__(self, owner: PeerOwner, nonce: bytes, sock: socket.socket | None = None) -> None:
        super().__init__()
        self._socket = sock
        self._owner = owner
        self._nonce = nonce
        self._timer: asyncio.TimerHandle | None = None
        self._results: list[tuple[int, Any]] = []
        self._open = 0
        self.is_attached = False
        self.is_full = False
        self._missed = 0
        """Messages dropped since it stopped reading."""
        self._gap: Gap | None = None
        """All the markers that it would have got since then."""
        self.dropped = 0

    def __repr__(self) -> str:
        state = "full" if self.is_full else "attached" if self.is_attached else "new"
        return f"<Peer pid={self.peer_pid} {state} dropped={self.dropped} open={self._open}>"

    # --- to it ------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes, messages: int) -> None:
        """Write it a packed batch, which is all of this turn of the loop, or drop that while it doesn't read."""
        if self.is_full:
            self._missed += messages
            self.dropped += messages
        else:
            self.write(data)

    def miss(self, gap: Gap, data: bytes) -> None:
        """Write it a gap marker (packed: `data`), or keep that for it while it doesn't read."""
        if self.is_full:
            self._gap = gap if self._gap is None else joined(self._gap, gap)
        else:
            self.write(data)

    def result(self, number: int, what: str | OnesocketError) -> None:
        """What became of message or question `number`."""
        if not self._results:
            self._loop.call_soon(self.tell_results)
        self._results.append((number, what if isinstance(what, str) else failure_of(what)))
        self.forget_one()

    def forget_one(self) -> None:
        """One message or question less that has no result yet."""
        self._open -= 1
        if self._open == _WINDOW // 2:
            self._read_or_not()

    def tell_results(self) -> None:
        """Write the results of this turn."""
        results, self._results = self._results, []
        if results:
            self.tell(Results(results))

    # --- from it ----------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """Ask who it is."""
        self.set_write_limits(self._owner.buffer)
        self._timer = self._loop.call_later(self._owner.attach_timeout, self.abort)
        self.tell(Challenge(PROTOCOL, self._owner.release, self._nonce))

    def refused(self, error: OtherUser) -> None:
        """Another user's: it learns that, and nothing else."""
        self.tell(Refused(failure_of(error)))

    def frame(self, body: bytes) -> None:
        """One frame."""
        frame = read_as_owner(body)
        if not self.is_attached:
            self._introduced(frame)
            return
        match frame:
            case Post(messages):
                self._opens(len(messages))
                self._owner.posted(self, messages)
            case Ask(number, verb):
                self._opens(1)
                self._owner.asked(self, number, verb)
            case Withdraw(number):
                self._owner.withdrawn(self, number)
            case Want(add, remove):
                self._owner.wants(self, add, remove)
            case LetGo():
                self._owner.told_to_let_go()
            case Hello() | Inspect():
                raise WireError("a follower introduced itself twice")

    def over(self, error: WireError | None) -> None:
        """It's gone."""
        del error
        self._stop_timer()
        if self.is_attached:
            self.is_attached = False
            self._owner.detached(self)

    def pause_writing(self) -> None:
        """It reads nothing: from here on batches are dropped and counted."""
        self.is_full = True
        self._read_or_not()
        self._stop_timer()
        self._timer = self._loop.call_later(self._owner.cut_off_after, self._cut_off)

    def resume_writing(self) -> None:
        """It reads again, and learns what it missed."""
        self.is_full = False
        self._read_or_not()
        self._stop_timer()
        gap, self._gap = self._gap, None
        missed, self._missed = self._missed, 0
        if missed:
            dropped = Gap(GapReason.OVERFLOW, self._owner.epoch, missed)
            gap = dropped if gap is None else joined(gap, dropped)
        if gap is not None:
            self.tell(missing_of(gap, gap.epoch))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _introduced(self, frame: object) -> None:
        match frame:
            case Hello():
                self._stop_timer()
                error = self._objection(frame)
                if error is not None:
                    self.tell(Refused(failure_of(error)))
                    self.close()
                    return
                self.is_attached = True
                if not self._owner.attached(self):
                    self.is_attached = False
                    self.close()
            case Inspect():
                self._owner.inspected(self)
                self.close()
            case _:
                raise WireError("a follower did not introduce itself")

    def _objection(self, hello: Hello) -> OnesocketError | None:
        if hello.protocol != PROTOCOL:
            return OtherRelease(
                f"the process that holds the connection (pid {os.getpid()}) runs onesocket {self._owner.release} with "
                f"sharing protocol {PROTOCOL}, this one runs {hello.release[:40]} with {hello.protocol}: "
                "use one release for both",
                ours=hello.protocol,
                theirs=PROTOCOL,
            )
        secret = self._owner.secret
        if not hmac.compare_digest(hello.proof, proof_of(secret, self._nonce)):
            return OtherToken(
                f"another process (pid {os.getpid()}) shares this key with another token, or another user "
                "name or password in the URL; use the same, or another key="
            )
        option = first_difference(proofs_of(self._owner.digests, secret, self._nonce), hello.options)
        if option is None:
            return None
        return dial_conflict(f"another process (pid {os.getpid()}) shares this connection", option)

    def _opens(self, count: int) -> None:
        self._open += count
        if self._open >= _WINDOW:
            self._read_or_not()

    def _read_or_not(self) -> None:
        self.set_reading(on=not self.is_full and self._open < _WINDOW)

    def _cut_off(self) -> None:
        self._end(None)
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def proof_of(secret: bytes, nonce: bytes) -> bytes:
    """That we know `secret`, without telling it."""
    return hmac.digest(secret, b"onesocket " + nonce, "sha256")


def packed(frame: Any) -> bytes | None:
    """The frame for many; None: it's too long for anybody."""
    try:
        return pack(frame)
    except WireError:
        return None
