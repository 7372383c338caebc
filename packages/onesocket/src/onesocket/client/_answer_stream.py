"""The caller's end of a stream of answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import OnesocketError, RequestLost, UsageError
from ..protocols._protocol import Protocol
from ._gap import Gap, GapReason
from ._queue import Queue
from ._request_calls import AnswerSink, finish_request, requests_of
from ._user_code import USER_ERRORS

OpenAnswers = Callable[[AnswerSink], Callable[[], object]]
"""A function that sends the request, with a sink for its answers, and returns the one that closes the stream."""


class AnswerStream:
    """Puts the answers to one request into a reader's queue: with the caller's own id, until the last, or an error.

    With `resend`, the request is sent again after a loss, and a `Gap` stands in the stream.
    """

    __slots__ = ("_close", "_message", "_open", "_protocol", "_queue", "_resend")

    def __init__(
        self, protocol: Protocol, message: Any, queue: Queue[Any], open_: OpenAnswers, *, resend: bool
    ) -> None:
        self._protocol = protocol
        self._message = message
        self._queue = queue
        self._open = open_
        self._close: Callable[[], object] | None = None
        self._resend = resend

    def __repr__(self) -> str:
        return f"<AnswerStream {self._queue!r}>"

    def open(self) -> None:
        """Send the request."""
        self._close = self._open(self)

    def close(self) -> None:
        """Stop the stream: its reader is gone."""
        self._resend = False
        if self._close is not None:
            self._close()

    def take(self, answer: Any) -> None:
        """Put an answer into the queue, unless it refuses or is the end."""
        if self._queue.ended:
            return
        last = requests_of(self._protocol).last
        try:
            finished = finish_request(self._protocol, self._message, answer)
            is_end = last is not None and last(finished)
        except OnesocketError as refusal:
            self._end_with(refusal)
        except USER_ERRORS as error:
            failure = UsageError(f"a function of Requests raised {type(error).__name__}")
            failure.__cause__ = error
            self._end_with(failure)
            self.close()
        else:
            if is_end:
                self._queue.end()
            else:
                self._queue.put(finished)

    def fail(self, error: OnesocketError) -> None:
        """End with this error, or send the request again after a loss."""
        if not self._resend or not isinstance(error, RequestLost):
            self._end_with(error)
            return
        self._queue.put(Gap(GapReason.RECONNECTED, self._queue.epoch + 1, error=error))
        try:
            self.open()
        except OnesocketError as refusal:
            self._end_with(refusal)

    def end(self) -> None:
        """End after the last answer."""
        self._queue.end()

    def _end_with(self, error: OnesocketError) -> None:
        if not self._queue.ended:
            self._queue.fail(error)
            self._queue.end()
