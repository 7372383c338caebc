"""Requests of one local client, whose answers it gets alone, under its own ids."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..errors import OnesocketError, RequestLost
from ..protocols._requests import RequestId, Requests
from ..wire._handshake import Data

if TYPE_CHECKING:
    from ._raw_client import RawClient

_MOST_OPEN: Final = 1024
"""Requests of one client whose answers are known; beyond that, the oldest are forgotten."""


log = logging.getLogger("onesocket")

_comparable: Final = msgspec.json.Encoder(order="deterministic").encode


class ClientAnswers:
    """An `AnswerSink`: passes all answers to one request on to its client."""

    __slots__ = ("_client", "_id", "_open", "_requests", "_write", "stop")

    def __init__(
        self,
        requests: OpenRequests,
        client: RawClient,
        id_: RequestId,
        stop: bytes | None,
        write: Callable[[RawClient, Data], None],
    ) -> None:
        """`stop`: the message by which the client stops the answers, for comparison; None: there is none."""
        self._requests = requests.requests
        self._open = requests
        self._client = client
        self._id = id_
        self.stop = stop
        self._write = write

    def take(self, answer: Data) -> None:
        """Pass an answer on, with the client's id."""
        self._write(self._client, self._requests.restore(answer, self._id))

    def fail(self, error: OnesocketError) -> None:
        """Forget a request that is lost with its connection; close the client if it was not sent."""
        self._open.forget(self)
        if not isinstance(error, RequestLost):
            self._client.not_sent(error)

    def end(self) -> None:
        """Forget the request."""
        self._open.forget(self)


class OpenRequests:
    """The requests of one client that may still get answers."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests
        self._closers: dict[ClientAnswers, Callable[[], None]] = {}
        self._stops: dict[bytes, ClientAnswers] = {}

    def __repr__(self) -> str:
        return f"<OpenRequests {len(self._closers)}>"

    def __len__(self) -> int:
        """Number of open requests."""
        return len(self._closers)

    def add(self, answers: ClientAnswers, close: Callable[[], None]) -> None:
        """Keep a request that was sent; beyond the limit, the oldest is closed."""
        self._closers[answers] = close
        if answers.stop is not None:
            self._stops[answers.stop] = answers
        if len(self._closers) > _MOST_OPEN:
            self._close(next(iter(self._closers)))

    def forget(self, answers: ClientAnswers) -> None:
        """Forget a request that has ended."""
        self._closers.pop(answers, None)
        if answers.stop is not None and self._stops.get(answers.stop) is answers:
            del self._stops[answers.stop]

    def stop_of(self, data: Data) -> bytes | None:
        """Return the message by which the client stops the answers to a request, for comparison, or None."""
        try:
            made = None if self.requests.stop is None else self.requests.stop(data)
            return None if made is None else _comparable(msgspec.json.decode(made))
        except Exception:
            log.exception("stop= of the protocol failed on a request of %d bytes", len(data))
            return None

    def stop(self, data: Data) -> bool:
        """Close the request that a message of the client stops; returns False for any other message.

        The message may have an id of its own, where the stop has none. The hub sends the stop under the ids of the
        upstream, in which the message itself could be about a request of another client.
        """
        if not self._stops:
            return False
        message = msgspec.json.decode(data, type=dict[str, Any])
        answers = self._stops.get(_comparable(message))
        if answers is None:
            message.pop(self.requests.id, None)
            answers = self._stops.get(_comparable(message))
        if answers is None:
            return False
        self._close(answers)
        return True

    def _close(self, answers: ClientAnswers) -> None:
        close = self._closers[answers]
        self.forget(answers)
        close()

    def close_all(self) -> None:
        """Close all requests: the client has left."""
        closers, self._closers, self._stops = self._closers, {}, {}
        for close in closers.values():
            close()
