"""Port of what sends frames beside messages: subscriptions, on a connection and on its successor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..wire._handshake import Data


class FrameSource(Protocol):
    """Source of frames that are sent beside messages on each connection: subscriptions."""

    def begin(self) -> None:
        """Begin a new connection, on which no frame was sent."""

    def peek(self) -> Data | None:
        """The next frame, which stays; None when the connection has everything."""
        ...

    def taken(self) -> None:
        """Note that the frame returned by `peek` was sent."""

    def end(self) -> None:
        """The connection ends: nothing more is sent on it."""

    def fork(self) -> FrameSource:
        """Return a source for another connection beside the present one: it begins with nothing."""
        ...

    def adopt(self, fork: FrameSource) -> None:
        """Go on on the connection of this fork, which took the place of the present one."""

    def refresh(self) -> None:
        """Look again for the frames that are due on the connection of a fork."""

    def hear_answers(self, hears: bool) -> None:  # noqa: FBT001 - an event
        """Take messages for answers to its frames, or not, as they come on an earlier connection."""

    def received(self, batch: list[Any]) -> None:
        """Look for answers in messages of the connection."""

    def when_settled(self, call: Callable[[], None]) -> None:
        """Call it once all frames are sent, and answered where answers are declared, or at once if they are."""

    @property
    def turn_in(self) -> float:
        """Seconds until the turn of a frame that has to wait for it; 0: none has to."""
        ...


class Replay(Protocol):
    """Sends the source's frames on the successor of the connection."""

    def ask_source(self) -> None:
        """Note that the source has changed."""
