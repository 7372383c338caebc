"""The session of the leader's connection as the feed tells it: what the next leader resumes. Pure."""

from __future__ import annotations

from ...wire._handshake import Data
from ..host._ipc_frames import MessageBatch, SessionBatch


class HeardSession:
    """The newest state, and the messages that came after it."""

    __slots__ = ("since", "state")

    def __init__(self) -> None:
        self.state: bytes | None = None
        """As of `Protocol.session_state`; None: none was told. b"": there is no session."""
        self.since: list[Data] = []
        """Messages after those of the state; a replay may repeat them. A batch that is sent in portions leaves some."""

    def __repr__(self) -> str:
        return f"<HeardSession {len(self.state or b'')} bytes, {len(self.since)} messages since>"

    def take(self, batch: MessageBatch) -> None:
        """Take note of a batch of the feed."""
        if isinstance(batch, SessionBatch) and batch.session is not None:
            self.state = batch.session
            self.since.clear()
        elif self.state:
            self.since += batch.messages

    def forget(self) -> None:
        """Forget it: it is used up, or what came after it is not known."""
        self.state = None
        self.since.clear()
