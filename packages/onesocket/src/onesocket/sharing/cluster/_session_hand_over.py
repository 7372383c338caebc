"""The session of a connection on its way from one leader to the next, for protocols that can resume it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ...client._client import Client
from ...errors import EngineFull, EngineUnavailable
from ..host._forwarding_protocol import ForwardingProtocol
from ._coordinator import Coordinator
from ._heard_session import HeardSession
from ._session_search import find_session


class SessionHandOver:
    """Tells the session of this host's connection, and takes over that of the leader before.

    Without effect where the protocol has no session, or can't hand it over.
    """

    def __init__(self, client: Client, coordinator: Coordinator) -> None:
        """`client`: that of this host, with its `ForwardingProtocol`."""
        protocol = client.internals.options.protocol
        self._runner = client.internals.runner
        self._protocol = None
        if isinstance(protocol, ForwardingProtocol):
            self._protocol = protocol if protocol.has_session else None
            protocol.space_logins(coordinator.reserve_slot)
        self._coordinator = coordinator
        self.heard = HeardSession()
        """The session of the leader that is followed."""
        self.is_searching = False
        """True while `find` runs: this host has the lease, and doesn't use it yet."""

    def __repr__(self) -> str:
        return f"<SessionHandOver {self.heard!r}>"

    # --- to the next leader -------------------------------------------------------------------------------------------

    def state(self) -> bytes | None:
        """The state behind all messages that the protocol has delivered; None: there is nothing to tell."""
        return None if self._protocol is None else self._protocol.session_state()

    @property
    def can_go_on(self) -> bool:
        """True if the protocol has sessions that one host can take over from another."""
        return self._protocol is not None

    @property
    def goes_on(self) -> bool:
        """True if the newest login went on with a session."""
        return self._protocol is not None and self._protocol.has_resumed

    def keep(self) -> None:
        """Have the peer keep the session when this host closes its connection."""
        if self._protocol is not None:
            self._runner.close_code = self._protocol.session_close_code

    # --- from the leader before ---------------------------------------------------------------------------------------

    async def find(
        self, epoch: int, read_rest: Callable[[int], Awaitable[None]], timeout: float, *, searches: bool
    ) -> None:
        """Read all that the leader before has told, as this member leads in `epoch`.

        `read_rest`: reads the feed up to that. If the engine is away for `timeout` seconds, there is no session: what
        other hosts have heard isn't known. `searches`: look for it in older records if this member has not heard it.
        """
        if self._protocol is None:
            return
        self.is_searching = True
        try:
            async with asyncio.timeout(timeout):
                await read_rest(epoch)
                if self.heard.state is None and searches:
                    self.heard = await find_session(self._coordinator, epoch)
        except (EngineUnavailable, EngineFull, TimeoutError):
            self.heard.forget()
        finally:
            self.is_searching = False

    def resume(self) -> bool:
        """Have the next connection resume the session that was found; False: there is none."""
        if self._protocol is None or not self.heard.state:
            return False
        self._protocol.resume_session(self.heard.state, self.heard.since)
        self.heard.forget()
        return True
