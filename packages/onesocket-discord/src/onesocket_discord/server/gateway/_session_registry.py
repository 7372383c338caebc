"""All sessions: by id for whoever resumes, by user for whoever publishes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ._options import GatewayOptions
from ._session import GatewaySession
from ._stats import StatsCounter


class SessionRegistry:
    """Sessions live from READY until their time without a connection is over."""

    def __init__(
        self, options: GatewayOptions, counting: StatsCounter, presence_changed: Callable[[int], None]
    ) -> None:
        self._options = options
        self._stats_counter = counting
        self._presence_changed = presence_changed
        self._by_id: dict[str, GatewaySession] = {}
        self.by_user: dict[int, tuple[GatewaySession, ...]] = {}
        """Tuples: whoever runs through one isn't disturbed when a session comes or goes."""

    def __repr__(self) -> str:
        return f"<Sessions {len(self._by_id)}>"

    def get(self, session_id: str) -> GatewaySession | None:
        """The session with this id."""
        return self._by_id.get(session_id)

    def of(self, user_id: int) -> tuple[GatewaySession, ...]:
        """The sessions of this user."""
        return self.by_user.get(user_id, ())

    def add(self, session: GatewaySession) -> bool:
        """Take it in; False: its user has too many, and none of them can be spared."""
        user_id = session.account.user_id
        if len(self.of(user_id)) >= self._options.max_sessions_per_user:
            spare = next((one for one in self.of(user_id) if one.connection is None and one.early is None), None)
            if spare is None:
                return False
            self.end(spare)
        self._by_id[session.id] = session
        self.by_user[user_id] = (*self.of(user_id), session)
        self._stats_counter.add("sessions")
        return True

    def arrived(self, session: GatewaySession) -> None:
        """A connection carries it."""
        if session.timer is not None:
            session.timer.cancel()
            session.timer = None
        if not session.present:
            session.present = True
            self._presence_changed(session.account.user_id)

    def left(self, session: GatewaySession) -> None:
        """No connection carries it any more."""
        if session.id in self._by_id:
            grace = min(self._options.presence_grace, self._options.session_ttl)
            session.timer = asyncio.get_running_loop().call_later(grace, self._absent, session)

    def end(self, session: GatewaySession) -> None:
        """Forget it."""
        if self._by_id.pop(session.id, None) is None:
            return
        if session.timer is not None:
            session.timer.cancel()
            session.timer = None
        user_id = session.account.user_id
        others = tuple(one for one in self.of(user_id) if one is not session)
        if others:
            self.by_user[user_id] = others
        else:
            self.by_user.pop(user_id, None)
        self._stats_counter.add("sessions", -1)
        self._leave(session)

    def end_all(self) -> None:
        """Forget them all."""
        for session in tuple(self._by_id.values()):
            self.end(session)

    def _absent(self, session: GatewaySession) -> None:
        self._leave(session)
        rest = max(0.0, self._options.session_ttl - self._options.presence_grace)
        session.timer = asyncio.get_running_loop().call_later(rest, self.end, session)

    def _leave(self, session: GatewaySession) -> None:
        if session.present:
            session.present = False
            self._presence_changed(session.account.user_id)
