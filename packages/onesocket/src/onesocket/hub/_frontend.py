"""The port between a hub, which has the upstream connection, and the frontend, which serves the local clients."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from ..client._gap import Gap
from ..errors import DeliveryUnknown, OnesocketError
from ..transports._connection_acceptor import RequestAnswer
from ..wire._request_parser import HttpRequest
from ._counters import HubCounters

if TYPE_CHECKING:
    from ._hub import Hub

log = logging.getLogger("onesocket")


class Frontend(Protocol):
    """Serves clients of one kind. Messages from upstream come in order, a batch per turn of the event loop."""

    kind: str

    @property
    def clients(self) -> int:
        """The number of clients."""
        ...

    @property
    def waiting(self) -> int:
        """Messages of all clients that wait to be sent upstream."""
        ...

    def open(self, hub: Hub) -> None:
        """Start to serve, as part of this hub."""

    def respond(self, request: HttpRequest) -> RequestAnswer:
        """Answer a request whose Origin and Host are allowed; the frontend checks the token."""
        ...

    def size(self, message: Any) -> int:
        """Return the size of a message from upstream in bytes."""
        ...

    def messages(self, batch: list[Any]) -> None:
        """Pass messages from upstream on."""

    def gap(self, gap: Gap) -> None:
        """Note that messages from upstream may be missing here."""

    def close_clients(self, code: int, reason: str) -> None:
        """Close the connections of all clients; others may connect."""

    async def stop(self, timeout: float) -> None:
        """Send upstream what clients have sent, then close their connections in order, within `timeout` seconds."""


async def wait_for_all(ends: Iterable[Awaitable[Any]], timeout: float) -> None:
    """Wait for all `ends`, but not longer than `timeout` seconds."""
    tasks = [asyncio.ensure_future(end) for end in ends]
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=max(timeout, 0.0))
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)


def report_unsent(what: str, error: OnesocketError, after: int, counters: HubCounters, *, client_closing: bool) -> str:
    """Count a client's message or request (`what`) that failed, and those after it; returns the close reason."""
    counters.not_sent += 1 + after
    fate = "may not have been sent upstream" if isinstance(error, DeliveryUnknown) else "was not sent upstream"
    reason = f"a {what} {fate}{f', nor were {after} after it' if after else ''} ({type(error).__name__})"
    if client_closing:
        log.warning("a client has left before an error of its %s: %s: %s", what, reason, error)
    return reason
