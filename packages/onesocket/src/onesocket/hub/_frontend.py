"""The port between a hub, which has the connection, and a desk, which serves the clients in their protocol."""

from __future__ import annotations

from typing import Any, Protocol

from picows import WSUpgradeRequest

from ..client._gap import Gap
from ..client._status import Status
from ..transports._connection_acceptor import HandshakeAnswer
from ._access_policy import AccessPolicy
from ._counters import HubCounters


class HubContext(Protocol):
    """The hub, as its desk sees it."""

    counters: HubCounters
    access_policy: AccessPolicy

    @property
    def status(self) -> Status:
        """How the upstream stands."""
        ...

    @property
    def subprotocol(self) -> str | None:
        """The one that the upstream chose, or had chosen while it's down."""
        ...

    @property
    def url(self) -> str:
        """Where clients find us, for those who came in no other way."""
        ...

    def client_connected(self) -> None:
        """There is one client more."""

    def client_disconnected(self) -> None:
        """There is one client less."""


class Frontend(Protocol):
    """Serves the clients. What comes from above is told in order, a batch for each turn of the loop."""

    kind: str

    @property
    def clients(self) -> int:
        """How many there are."""
        ...

    @property
    def waiting(self) -> int:
        """Messages of all clients that wait to go up."""
        ...

    def open(self, house: HubContext) -> None:
        """Begin."""

    def respond(self, request: WSUpgradeRequest) -> HandshakeAnswer:
        """A request from a page and to a name that may be; whether it shows the token is for the desk to see."""
        ...

    def size(self, message: Any) -> int:
        """Bytes of a message from above."""
        ...

    def messages(self, batch: list[Any]) -> None:
        """These came from above."""

    def gap(self, gap: Gap) -> None:
        """Here messages may be missing."""

    def close_clients(self, code: int, reason: str) -> None:
        """Close every client; others may come."""

    async def stop(self, timeout: float) -> None:
        """What clients have sent goes up, and then they are closed, in order and within `timeout` seconds."""
