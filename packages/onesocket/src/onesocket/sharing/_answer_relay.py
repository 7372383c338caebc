"""The way of a stream of answers from the host loop to the event loop of its reader."""

from __future__ import annotations

from typing import Any

from ..client._queue import DEFAULT_LIMIT
from ..client._request_calls import AnswerSink
from ..errors import OnesocketError, SlowConsumer
from ._loop_inbox import LoopInbox


class AnswerRelay:
    """An `AnswerSink` on the host loop, for one on another loop. The number of answers on their way is bounded."""

    __slots__ = ("_inbox", "_is_full", "_put", "_sink", "_taken")

    def __init__(self, inbox: LoopInbox, sink: AnswerSink) -> None:
        self._inbox = inbox
        self._sink = sink
        self._is_full = False
        # Two counters, as a thread may only change its own.
        self._put = 0
        self._taken = 0

    def take(self, answer: Any) -> None:
        """Pass an answer on; a loop that doesn't run for too long loses the stream."""
        if self._is_full:
            return
        if self._put - self._taken >= DEFAULT_LIMIT:
            self._is_full = True
            self.fail(SlowConsumer(f"the event loop of this stream fell {DEFAULT_LIMIT} answers behind"))
            return
        self._put += 1
        self._inbox.post(self._deliver, answer)

    def fail(self, error: OnesocketError) -> None:
        """Pass the end on."""
        self._inbox.post(self._sink.fail, error)

    def end(self) -> None:
        """Pass the end on."""
        self._inbox.post(self._sink.end)

    def _deliver(self, answer: Any) -> None:
        self._taken += 1
        self._sink.take(answer)
