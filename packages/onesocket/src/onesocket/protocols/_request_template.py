"""Frames of requests whose ids are filled in elsewhere: by the process that holds the connection."""

from __future__ import annotations

import random
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

    @classmethod
    def of(cls, protocol: Protocol, message: object) -> Self:
        """Make the template of a request. Raises `EncodeError`, or `InvalidOption` if the id isn't in the frame."""
        requests = protocol.requests
        if requests is None:
            raise UsageError(f"the protocol {protocol.name} declares no requests")
        # Random, as no text that a message quotes may be taken for it.
        number = _LOWEST_PLACEHOLDER + random.getrandbits(52)
        placeholder: RequestId = number if isinstance(requests.make_id(0), int) else str(number)
        data = protocol.encode(requests.put(message, placeholder))
        for is_encoded in (True, False):
            shown: Any = _id_in(data, protocol, placeholder, is_encoded=is_encoded)
            if shown is not None and shown in data:
                return cls(data, shown, is_encoded)
        raise InvalidOption("with_id of Requests has not put the id into the message, as a str or an int")

    def fill(self, protocol: Protocol, id_: RequestId) -> Data:
        """Make the frame with this id."""
        data: Any = self.data
        shown = _id_in(data, protocol, id_, is_encoded=self.is_encoded)
        filled: Data = data.replace(self.placeholder, shown)
        return filled


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
