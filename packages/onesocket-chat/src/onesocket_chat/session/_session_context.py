"""The dependencies that the parts of a session share."""

from __future__ import annotations

from dataclasses import dataclass

from onesocket_discord.rest import Rest

from ._background_tasks import BackgroundTasks
from ._connection_monitor import ConnectionMonitor
from ._request_errors import RequestErrors
from ._state_store import StateStore


@dataclass(frozen=True, slots=True)
class SessionContext:
    """The dependencies of one session's parts."""

    store: StateStore
    rest: Rest
    connection: ConnectionMonitor
    background: BackgroundTasks
    request_errors: RequestErrors


class SessionPart:
    """One part of a session."""

    def __init__(self, context: SessionContext) -> None:
        self._store = context.store
        self._rest = context.rest
        self._connection = context.connection
        self._background = context.background
        self._request_errors = context.request_errors
