"""The members that follow, as the leader serves them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import OnesocketError, SubscriptionRefused
from ...lifecycle._effects import Outcome
from ...wire._handshake import Data
from ..host._ipc_frames import (
    Answer,
    FrameSplitter,
    SubscriptionRefusal,
    ToFollower,
    ToOwner,
    decode_follower_frame,
    encode_ipc_frame,
)
from ..host._requesters import ResultBatch


class RemoteMember:
    """A `Requester`: another host of the cluster, with all of its processes."""

    def __init__(self, name: str, answer: Callable[[str, bytes], None], now: float) -> None:
        self.name = name
        self.is_attached = False
        """True once it has proved that it shares this connection."""
        self.heard_at = now
        """Time of its last submission."""
        self._answer = answer
        self._splitter = FrameSplitter()
        self._results = ResultBatch()

    def __repr__(self) -> str:
        return f"<RemoteMember {self.name}{' attached' if self.is_attached else ''}>"

    def frames(self, payload: bytes) -> list[ToOwner]:
        """The frames that are complete with this payload. Raises `IpcError`."""
        return [decode_follower_frame(body) for body in self._splitter.feed(payload)]

    def send_frame(self, frame: ToFollower) -> None:
        """Answer with a frame. Raises `IpcError` or `EncodeError`."""
        self._answer(self.name, encode_ipc_frame(frame))

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        """Report the result of message or request `number`, with those of this turn of the loop."""
        if not self._results:
            asyncio.get_running_loop().call_soon(self.flush_results)
        self._results.add(number, outcome, error)

    def flush_results(self) -> None:
        """Report the results so far."""
        if self._results:
            self.send_frame(self._results.take())

    def add_answer(self, number: int, data: Data) -> bool:
        """Report an answer to request `number`. Raises `IpcError` or `EncodeError`."""
        self.send_frame(Answer(number, data))
        return True

    def release_slot(self) -> None:
        """Do nothing: the mailbox is the bound."""

    def refused(self, error: SubscriptionRefused) -> None:
        """Report keys that were refused."""
        self.send_frame(SubscriptionRefusal(list(error.keys), error.reason, error.retryable))

    def send_snapshot(self, number: int, frames: list[Data]) -> None:
        """Do nothing: a member keeps the state of its processes itself, once it has that of the leader."""
