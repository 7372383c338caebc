"""JSON messages, by msgspec: one text frame each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from ..errors import EncodeError
from ..wire._handshake import Data
from ._message_type import M_co
from ._typed_codec import TypedCodec

_encode = msgspec.json.Encoder().encode


class Json(TypedCodec[M_co]):
    """JSON in text frames; decodes binary frames, too.

    `type`: the type of messages, which msgspec validates into: a `msgspec.Struct`, a dataclass, a `TypedDict`, an attrs
    class, `list[int]`, a union; plain objects unless given. Other options: as of `CodecProtocol`.
    """

    name: ClassVar[str] = "json"
    format: ClassVar[str] = "JSON"

    def _make_decoder(self, kind: Any) -> Callable[[Any], Any]:
        return msgspec.json.Decoder(kind).decode

    def encode(self, message: Any) -> Data:
        """Encode an object to one text frame."""
        try:
            return _encode(message).decode()
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError) as error:
            raise EncodeError(f"a message of type {type(message).__name__} can't be sent as JSON: {error}") from error
