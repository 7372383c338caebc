"""MessagePack messages, by msgspec: one binary frame each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

import msgspec

from ..errors import DecodeError
from ..wire._handshake import Data
from ._message_type import M_co
from ._typed_codec import TypedCodec

_encode = msgspec.msgpack.Encoder().encode
_ARRAYS: Final = frozenset((*range(0x90, 0xA0), 0xDC, 0xDD))
"""First bytes of arrays: fixarray, array 16 and array 32."""


class Msgpack(TypedCodec[M_co]):
    """MessagePack in binary frames.

    `type`, `decode`, `many`: as of `Json`. Other options: as of `CodecProtocol`.
    """

    name: ClassVar[str] = "msgpack"
    format: ClassVar[str] = "MessagePack"
    _pydantic_remedy: ClassVar[str] = "decode=lambda frame: Model.model_validate(msgspec.msgpack.decode(frame))"

    def decode(self, data: Data) -> M_co:
        """Decode one message."""
        if isinstance(data, str):
            raise DecodeError(f"a text message of {len(data)} characters, where binary MessagePack was expected")
        return super().decode(data)

    def encode(self, message: Any) -> Data:
        """Encode an object to one binary frame."""
        try:
            return _encode(message)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError) as error:
            raise self._unencodable(message, error) from error

    def _make_decoder(self, kind: Any) -> Callable[[Any], Any]:
        return msgspec.msgpack.Decoder(kind).decode

    def _is_array(self, data: Data) -> bool:
        return isinstance(data, bytes) and data[:1] != b"" and data[0] in _ARRAYS

    def _part(self, raw: msgspec.Raw, data: Data) -> Data:
        del data
        return bytes(raw)
