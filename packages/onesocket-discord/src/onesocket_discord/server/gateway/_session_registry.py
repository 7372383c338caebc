"""The sessions of the local server's gateway: by id for a Resume, by user for published events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..._serving import GatewayOptions, ServedSessions
from ._session import GatewaySession
from ._stats import StatsCounter


class SessionRegistry(ServedSessions[GatewaySession]):
    """Sessions from Identify to their end; without a connection their users are soon shown as offline."""

    def __init__(
        self,
        options: GatewayOptions,
        stats_counter: StatsCounter,
        presence_changed: Callable[[int], None],
        ended: Callable[[GatewaySession], None] = lambda _: None,
    ) -> None:
        """`ended` is called with each session that can't be resumed any more."""
        super().__init__(options.session_ttl)
        self._options = options
        self._stats_counter = stats_counter
        self._presence_changed = presence_changed
        self._ended = ended
        self.by_user: dict[int, tuple[GatewaySession, ...]] = {}
        """Tuples, so that an iteration is not disturbed when a session is added or ended."""

    def of(self, user_id: int) -> tuple[GatewaySession, ...]:
        """The sessions of this user."""
        return self.by_user.get(user_id, ())

    def add(self, session: GatewaySession) -> bool:
        """Add a session, in place of a detached one at the limit; returns False if its user has too many."""
        user_id = session.account.user_id
        if len(self.of(user_id)) >= self._options.max_sessions_per_user:
            spare = next((one for one in self.of(user_id) if one.connection is None and one.early is None), None)
            if spare is None:
                return False
            self.end(spare)
        self.by_user[user_id] = (*self.of(user_id), session)
        self._stats_counter.add("sessions")
        return super().add(session)

    def attached(self, session: GatewaySession) -> None:
        """A connection carries the session: its user is online."""
        super().attached(session)
        if not session.present:
            session.present = True
            self._presence_changed(session.account.user_id)

    def detached(self, session: GatewaySession) -> None:
        """The session has lost its connection: its user is offline after the grace, and it ends after its time."""
        if session in self:
            grace = min(self._options.presence_grace, self._session_ttl)
            session.timer = asyncio.get_running_loop().call_later(grace, self._on_grace_over, session)

    def end(self, session: GatewaySession) -> bool:
        """Forget the session; returns whether it was there. Its connection is left alone."""
        if not self._forget(session):
            return False
        self._set_absent(session)
        self._ended(session)
        return True

    def give_away(self, session: GatewaySession) -> None:
        """Forget a session that another server has now: its user is shown as before for the grace."""
        if self._forget(session) and session.present:
            session.present = False
            grace = self._options.presence_grace
            asyncio.get_running_loop().call_later(grace, self._presence_changed, session.account.user_id)

    def _forget(self, session: GatewaySession) -> bool:
        if not super().end(session):
            return False
        user_id = session.account.user_id
        others = tuple(one for one in self.of(user_id) if one is not session)
        if others:
            self.by_user[user_id] = others
        else:
            self.by_user.pop(user_id, None)
        self._stats_counter.add("sessions", -1)
        return True

    def _on_grace_over(self, session: GatewaySession) -> None:
        self._set_absent(session)
        rest = max(0.0, self._session_ttl - self._options.presence_grace)
        session.timer = asyncio.get_running_loop().call_later(rest, self.end, session)

    def _set_absent(self, session: GatewaySession) -> None:
        if session.present:
            session.present = False
            self._presence_changed(session.account.user_id)
