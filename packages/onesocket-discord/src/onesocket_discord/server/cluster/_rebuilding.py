"""Rebuilds a session from its record and the stream: pure."""

from __future__ import annotations

from .._cluster_entry import EntryOfAccount, EntryOfEvent, EntryOfSignOut, decode_entry
from ..gateway._published_dispatch import PublishedDispatch
from ..gateway._session import GatewaySession
from ._session_records import Checkpoint, SessionRecord


class SessionRebuilder:
    """Numbers what a session was sent on another server, in the order in which it was sent there."""

    def __init__(self, session: GatewaySession, record: SessionRecord, checkpoint: Checkpoint) -> None:
        """`session` is new, with the id, account, intents and shard of the record."""
        self._session = session
        self._own = record.own
        session.seq = checkpoint.seq
        self.signed_out = False
        """True if the session was ended, as by a sign-out."""

    def read(self, bodies: list[bytes]) -> None:
        """Read the next entries of the stream."""
        user_id = self._session.account.user_id
        for body in bodies:
            match decode_entry(body):
                case EntryOfEvent() as entry:
                    event = entry.event
                    if user_id in event.recipients:
                        form = self._session.form_of(PublishedDispatch(event))
                        if form is not None:
                            self._push_own()
                            self._session.push(form)
                case EntryOfSignOut(user_id=other, login=login):
                    # Another login's end is not this session's; which one it has is known to the server it was on.
                    self.signed_out |= other == user_id and login is None
                case EntryOfAccount(user_id=other, invalidates=True):
                    self.signed_out |= other == user_id
                case _:
                    pass

    def finish(self) -> None:
        """Add what was recorded after the last entry."""
        self._push_own()

    def _push_own(self) -> None:
        """Push the recorded dispatches whose turn it is: they took their numbers before any that came later."""
        while (own := self._own.get(self._session.seq + 1)) is not None:
            self._session.push(own)
