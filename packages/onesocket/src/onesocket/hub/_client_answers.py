"""Requests of one local client, whose answers it gets alone, under its own ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..errors import OnesocketError, RequestLost
from ..protocols._requests import RequestId, Requests
from ..wire._handshake import Data

if TYPE_CHECKING:
    from ._raw_client import RawClient

_MOST_OPEN: Final = 1024
"""Requests of one client whose answers are known; beyond that, the oldest are forgotten."""


class ClientAnswers:
    """An `AnswerSink`: passes all answers to one request on to its client."""

    __slots__ = ("_client", "_id", "_open", "_requests", "_write")

    def __init__(
        self, requests: OpenRequests, client: RawClient, id_: RequestId, write: Callable[[RawClient, Data], None]
    ) -> None:
        self._requests = requests.requests
        self._open = requests
        self._client = client
        self._id = id_
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

    def __repr__(self) -> str:
        return f"<OpenRequests {len(self._closers)}>"

    def __len__(self) -> int:
        """Number of open requests."""
        return len(self._closers)

    def add(self, answers: ClientAnswers, close: Callable[[], None]) -> None:
        """Keep a request that was sent; beyond the limit, the oldest is closed."""
        self._closers[answers] = close
        if len(self._closers) > _MOST_OPEN:
            self._closers.pop(next(iter(self._closers)))()

    def forget(self, answers: ClientAnswers) -> None:
        """Forget a request that has ended."""
        self._closers.pop(answers, None)

    def close_all(self) -> None:
        """Close all requests: the client has left."""
        closers, self._closers = self._closers, {}
        for close in closers.values():
            close()
