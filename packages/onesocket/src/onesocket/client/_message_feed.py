"""Port of a queue of messages beside the outbox."""

from __future__ import annotations

from typing import Protocol

from ..errors import OnesocketError


class MessageFeed(Protocol):
    """A queue of messages beside the outbox, which posts them as the connection takes them."""

    def on_room(self) -> None:
        """The connection takes more, and nothing waits in the outbox: post messages while `Sender.has_room`."""

    def on_closing(self) -> None:
        """The connection is about to be closed in order: post all messages that have to be written before."""

    def on_lost(self) -> None:
        """The connection has ended."""

    def on_refusal(self, error: OnesocketError) -> None:
        """The client is stopped or closed: settle all messages with this error."""
