"""Frames of requests whose ids are filled in elsewhere: by the process that holds the connection."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from ..errors import EncodeError, InvalidOption, UsageError
from ..wire._handshake import Data
from ._protocol import Protocol
from ._requests import RequestId

_LOWEST_PLACEHOLDER = 2**52
"""16 digits, in every format."""


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """A frame with a placeholder for the id."""

    data: Data
    placeholder: Data
    """The placeholder as it stands in the frame, and of the frame's type."""
    is_encoded: bool
    """True if an id stands in the frame as the protocol encodes it by itself; False: as its text."""
    stop: Data | None = None
    """The frame that stops the stream of answers, with the same placeholder; None: there is none."""
    stop_placeholder: Data | None = None
    """The placeholder for the id of that frame itself; None: it needs none."""

    @classmethod
    def of(cls, protocol: Protocol, message: object) -> Self:
        """Make the template of a request. Raises `EncodeError`, or `InvalidOption` if the id isn't in the frame."""
        requests = protocol.requests
        if requests is None:
            raise UsageError(f"the protocol {protocol.name} declares no requests")
        numbers = isinstance(requests.make_id(0), int)
        placeholder, own = _new_placeholder(numbers=numbers), _new_placeholder(numbers=numbers)
        data = protocol.encode(requests.put(message, placeholder))
        # A number in a text stands there as its digits, whichever codec the process with the connection has.
        first_plain = numbers and isinstance(data, str)
        for is_encoded in (not first_plain, first_plain):
            shown: Any = _id_in(data, protocol, placeholder, is_encoded=is_encoded)
            if shown is not None and shown in data:
                break
        else:
            raise InvalidOption("with_id of Requests has not put the id into the message, as a str or an int")
        stop = requests.put_stop(message, placeholder, lambda: own)
        if stop is None:
            return cls(data, shown, is_encoded)
        frame: Any = protocol.encode(stop)
        own_shown = _id_in(frame, protocol, own, is_encoded=is_encoded)
        return cls(data, shown, is_encoded, frame, own_shown if own_shown in frame else None)

    def fill(self, protocol: Protocol, id_: RequestId) -> Data:
        """Make the frame with this id."""
        data: Any = self.data
        filled: Data = data.replace(self.placeholder, self._shown(data, protocol, id_))
        return filled

    def fill_stop(self, protocol: Protocol, id_: RequestId, own_id: Callable[[], RequestId]) -> Data | None:
        """Make the frame that stops the stream of answers to this request; None: there is none."""
        stop: Any = self.stop
        if stop is None:
            return None
        stop = stop.replace(self.placeholder, self._shown(stop, protocol, id_))
        if self.stop_placeholder is not None:
            stop = stop.replace(self.stop_placeholder, self._shown(stop, protocol, own_id()))
        filled: Data = stop
        return filled

    def _shown(self, data: Data, protocol: Protocol, id_: RequestId) -> Data:
        shown = _id_in(data, protocol, id_, is_encoded=self.is_encoded)
        if shown is None:
            raise InvalidOption(
                f"the protocol {protocol.name}, with which the connection was opened, can't write an id into a request "
                "of another process: give all of them the same codec"
            )
        return shown


def _new_placeholder(*, numbers: bool) -> RequestId:
    # Random, as no text that a message quotes may be taken for it.
    number = _LOWEST_PLACEHOLDER + random.getrandbits(52)
    return number if numbers else str(number)


def _id_in(data: Data, protocol: Protocol, id_: RequestId, *, is_encoded: bool) -> Data | None:
    """The id as it stands in a frame, of the frame's type; None: the protocol can't encode it so."""
    shown: Data = str(id_)
    if is_encoded:
        try:
            shown = protocol.encode(id_)
        except EncodeError:
            return None
    if isinstance(shown, str) and isinstance(data, bytes):
        return shown.encode()
    return shown if isinstance(shown, str) == isinstance(data, str) else None
