"""Messages about keys that are requests: each has an id of its own, and its answer is found by that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import OnesocketError
from ..protocols._protocol import Protocol
from ..protocols._request_table import NumberedFrame
from ._request_calls import frame_maker, requests_of
from ._request_tracker import PendingRequest, RequestTracker


class SubscribeFrame(PendingRequest):
    """A message that subscribes. Its first answer accepts or refuses it; others with its id are ordinary messages."""

    __slots__ = ("_message", "_protocol", "on_answer")

    def __init__(self, protocol: Protocol, message: Any, tracker: RequestTracker) -> None:
        super().__init__(tracker.table, tracker.make_id, frame_maker(protocol, message))
        self._protocol = protocol
        self._message = message
        self.on_answer: Callable[[Any], object]
        """Takes the answer, as it came."""

    def take(self, answer: Any) -> None:
        """Pass the answer on."""
        del self.table.pending[self.id]
        self.on_answer(answer)

    def fail(self, error: OnesocketError) -> None:
        """Do nothing: the connection is gone, and the next one gets all keys anew."""

    def stop_message(self) -> Any:
        """Return the message that ends the subscription; None: there is none."""
        requests = requests_of(self._protocol)
        return None if requests.stop is None else requests.stop(requests.put(self._message, self.id))


class UnsubscribeFrame(NumberedFrame):
    """A message that ends subscriptions. Its answer is dropped."""

    __slots__ = ()

    def __init__(self, protocol: Protocol, message: Any, tracker: RequestTracker) -> None:
        super().__init__(tracker.table, tracker.make_id, frame_maker(protocol, message))

    def on_sent(self) -> None:
        """Have the answer dropped."""
        super().on_sent()
        self.table.abandon(self.id, is_answered=True)
