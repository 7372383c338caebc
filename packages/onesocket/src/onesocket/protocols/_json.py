"""JSON messages, by msgspec: one text frame each."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from ..errors import DecodeError, EncodeError
from ..wire._handshake import Data
from ._codec import CodecProtocol


class Json(CodecProtocol):
    """JSON in text frames; decodes binary frames, too.

    `type`: a msgspec-compatible type to validate into; plain objects unless given.
    """

    name: ClassVar[str] = "json"

    def __init__(self, *, type: Any = Any, **options: Any) -> None:  # noqa: A002 - msgspec's own name for it
        super().__init__(**options)
        self._decode = msgspec.json.Decoder(type).decode
        self._encode = msgspec.json.Encoder().encode

    def decode(self, data: Data) -> Any:
        """Decode one frame to an object."""
        try:
            return self._decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise DecodeError(f"a message of {len(data)} characters is not the expected JSON: {error}") from error

    def encode(self, message: Any) -> Data:
        """Encode an object to one text frame."""
        try:
            return self._encode(message).decode()
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError) as error:
            raise EncodeError(f"a message of type {type(message).__name__} can't be sent as JSON: {error}") from error
