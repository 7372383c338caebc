"""The session on its way from one host of a cluster to the next. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._sequence import Sequence
from ._session import Session
from ._session_state import SessionState, SpentIdentifies, open_state, seal_state, state_key


class SessionTransfer:
    """Seals the session for the next host by the token, and opens that of the host before when the token is known."""

    def __init__(self, login: str) -> None:
        """`login`: as of `SessionState`."""
        self._login = login
        self._key: bytes | None = None
        """Of the newest token."""
        self._expected: tuple[bytes, list[Any]] | None = None
        """The sealed state of the host before, and dispatches heard since."""

    def __repr__(self) -> str:
        return f"<SessionTransfer{'' if self._expected is None else ' expected'}>"

    def state(self, url: str | None, session: Session | None, spent: SpentIdentifies | None) -> bytes | None:
        """The sealed state; b"": there was no token yet. None: that of the host before holds."""
        if self._expected is not None:
            return None
        return b"" if self._key is None else seal_state(SessionState.of(url, session, spent, self._login), self._key)

    def expect(self, state: bytes, heard: Iterable[Any]) -> None:
        """Keep a sealed state for the next token, and the dispatches that were heard after it."""
        self._expected = state, list(heard)

    def take(self, token: str | None) -> tuple[SessionState, Session | None] | None:
        """Open the state that was kept, with its session, if it is of this login; None: it is not of this token."""
        expected, self._expected = self._expected, None
        self._key = None if token is None else state_key(token)
        state = None if expected is None or self._key is None else open_state(expected[0], self._key)
        if expected is None or state is None:
            return None
        return state, _session_of(state, expected[1]) if state.login == self._login else None


def _session_of(state: SessionState, heard: list[Any]) -> Session | None:
    if state.id is None:
        return None
    sequence = Sequence.after(state.sequence, has_lost=state.has_lost)
    for dispatch in heard:
        if dispatch.event == "READY":
            return None  # it began another session, whose state was not told
        if dispatch.sequence is not None:
            sequence.is_new(dispatch.sequence)
    return Session(state.id, state.resume_url, sequence)
