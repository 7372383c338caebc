"""Answers of a stream, decoded in the process that asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...client._request_calls import AnswerSink
from ...errors import DecodeError
from ...wire._handshake import Data


class DecodedAnswers:
    """An `AnswerSink` of frames, for one of messages."""

    __slots__ = ("_decode", "_sink", "end", "fail")

    def __init__(self, decode: Callable[[Data], Any], sink: AnswerSink) -> None:
        self._decode = decode
        self._sink = sink
        self.fail = sink.fail
        self.end = sink.end

    def take(self, answer: Data) -> None:
        """Decode an answer; one that can't be decoded ends the stream."""
        try:
            message = self._decode(answer)
        except DecodeError as error:
            self.fail(error.with_data(answer))
        else:
            self._sink.take(message)
