"""The session as one host of a cluster hands it over to the next. Pure.

It goes through the cluster's engine. The token is not in it, but its digest authenticates it: whoever can write to the
engine, but doesn't know the token, could name a resume address of his own otherwise, to which the token would go.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import msgspec

from ._session import Session

_DIGEST: Final = "sha256"
_DIGEST_SIZE: Final = hashlib.new(_DIGEST).digest_size
_PURPOSE: Final = b"onesocket discord session 1\n"
"""A change of `SessionState` changes this, too: a state of another release is no valid one."""


class SpentIdentifies(msgspec.Struct, array_like=True, frozen=True):
    """The identifies of one token that hosts before have used up. Times are those of the wall clock, in seconds."""

    remaining: int
    """Left for the day, as far as is known."""
    reset_at: float | None
    """End of that day; None: it has not begun."""
    next_slot: float
    """Time from which the bucket of this shard may identify again."""


class SessionState(msgspec.Struct, array_like=True, frozen=True):
    """The data with which the next host resumes; without an `id` there is no session, and it identifies."""

    url: str | None
    """The gateway's address, where sessions begin."""
    id: str | None
    resume_url: str | None
    sequence: int | None
    """Number of the last dispatch that was received."""
    has_lost: bool
    """True if a number before it is missing."""
    spent: SpentIdentifies | None
    login: str
    """The part of Identify that a Resume can't change (`Identification.fixed`)."""

    def __repr__(self) -> str:
        return f"<SessionState sequence={self.sequence}>"  # not the id: see `Session`

    @classmethod
    def of(cls, url: str | None, session: Session | None, spent: SpentIdentifies | None, login: str) -> SessionState:
        """The state of a host."""
        if session is None:
            return cls(url, None, None, None, has_lost=False, spent=spent, login=login)
        last, has_lost = session.sequence.last, session.sequence.is_incomplete
        return cls(url, session.id, session.resume_url, last, has_lost=has_lost, spent=spent, login=login)


def state_key(token: str) -> bytes:
    """The key that authenticates the states of this token's sessions."""
    return hashlib.new(_DIGEST, _PURPOSE + token.encode()).digest()


def seal_state(state: SessionState, key: bytes) -> bytes:
    """Encode a state."""
    body = _encode(state)
    return hmac.digest(key, body, _DIGEST) + body


def open_state(data: bytes, key: bytes) -> SessionState | None:
    """Decode a state; None if it was not made with this key."""
    proof, body = data[:_DIGEST_SIZE], data[_DIGEST_SIZE:]
    if not hmac.compare_digest(proof, hmac.digest(key, body, _DIGEST)):
        return None
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError:
        return None


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(SessionState)
