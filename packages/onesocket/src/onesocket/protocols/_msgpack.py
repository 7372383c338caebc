"""MessagePack messages, by msgspec: one binary frame each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from ..errors import DecodeError, EncodeError
from ..wire._handshake import Data
from ._message_type import M_co
from ._typed_codec import TypedCodec

_encode = msgspec.msgpack.Encoder().encode


class Msgpack(TypedCodec[M_co]):
    """MessagePack in binary frames.

    `type`: the type of messages, as of `Json`. Other options: as of `CodecProtocol`.
    """

    name: ClassVar[str] = "msgpack"
    format: ClassVar[str] = "MessagePack"

    def _make_decoder(self, kind: Any) -> Callable[[Any], Any]:
        return msgspec.msgpack.Decoder(kind).decode

    def decode(self, data: Data) -> M_co:
        """Decode one frame to an object."""
        if isinstance(data, str):
            raise DecodeError(f"a text message of {len(data)} characters, where binary MessagePack was expected")
        return super().decode(data)

    def encode(self, message: Any) -> Data:
        """Encode an object to one binary frame."""
        try:
            return _encode(message)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError) as error:
            raise EncodeError(
                f"a message of type {type(message).__name__} can't be sent as MessagePack: {error}"
            ) from error
