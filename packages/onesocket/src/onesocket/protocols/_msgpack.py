"""MessagePack messages, by msgspec: one binary frame each."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from ..errors import DecodeError, EncodeError
from ..wire._handshake import Data
from ._codec import CodecProtocol


class Msgpack(CodecProtocol):
    """MessagePack in binary frames.

    `type`: a msgspec-compatible type to validate into; plain objects unless given.
    """

    name: ClassVar[str] = "msgpack"

    def __init__(self, *, type: Any = Any, **options: Any) -> None:  # noqa: A002 - msgspec's own name for it
        super().__init__(**options)
        self._decode = msgspec.msgpack.Decoder(type).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def decode(self, data: Data) -> Any:
        """Decode one frame to an object."""
        if isinstance(data, str):
            raise DecodeError(f"a text message of {len(data)} characters, where binary MessagePack was expected")
        try:
            return self._decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise DecodeError(f"a message of {len(data)} bytes is not the expected MessagePack: {error}") from error

    def encode(self, message: Any) -> Data:
        """Encode an object to one binary frame."""
        try:
            return self._encode(message)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError) as error:
            raise EncodeError(
                f"a message of type {type(message).__name__} can't be sent as MessagePack: {error}"
            ) from error
