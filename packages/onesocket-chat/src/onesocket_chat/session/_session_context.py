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
