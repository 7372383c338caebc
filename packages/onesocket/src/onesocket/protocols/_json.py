"""JSON messages, by msgspec: one text frame each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, ClassVar, cast

import msgspec

from ..errors import EncodeError
from ..wire._handshake import Data
from ._message_type import M_co
from ._typed_codec import TypedCodec

_encode = msgspec.json.Encoder().encode
_look_for_non_finite = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]").search
"""Finds every float 64 whose exponent is all ones, and other bytes that look like one."""


class Json(TypedCodec[M_co]):
    """JSON in text frames; decodes binary frames, too.

    `type`: the type of messages, which msgspec validates into: a `msgspec.Struct`, a dataclass, a `TypedDict`, an attrs
    class, `list[int]`, a union; plain objects unless given. `decode`: instead of it, a function that makes a message of
    a frame, such as `Model.model_validate_json` of pydantic. `many`: a frame that is an array holds several messages.
    Other options: as of `CodecProtocol`.
    """

    name: ClassVar[str] = "json"
    format: ClassVar[str] = "JSON"
    _pydantic_remedy: ClassVar[str] = "decode=Model.model_validate_json, or decode=TypeAdapter(…).validate_json"

    def encode(self, message: Any) -> Data:
        """Encode an object to one text frame."""
        try:
            text = _encode(message).decode()
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError) as error:
            raise self._unencodable(message, error) from error
        # msgspec writes null for a number that JSON doesn't have; most messages hold no null at all.
        if "null" in text and _holds_non_finite(message):
            raise EncodeError(
                f"a message of type {type(message).__name__} with a NaN or an infinity can't be sent as JSON, which "
                "has neither: send None or a text instead"
            )
        return text

    def _make_decoder(self, kind: Any) -> Callable[[Any], Any]:
        return msgspec.json.Decoder(kind).decode

    def _is_array(self, data: Data) -> bool:
        return data.lstrip()[:1] == "[" if isinstance(data, str) else data.lstrip()[:1] == b"["

    def _part(self, raw: msgspec.Raw, data: Data) -> Data:
        return str(raw, "utf-8") if isinstance(data, str) else bytes(raw)


def _holds_non_finite(message: Any) -> bool:
    """Return whether a NaN or an infinity is in a message: a search in its MessagePack mostly says no, at once."""
    try:
        packed = msgspec.msgpack.encode(message)
    except (TypeError, ValueError, OverflowError):  # an integer of more than 64 bits
        pass
    else:
        if _look_for_non_finite(packed) is None:
            return False
    return not _is_finite(msgspec.to_builtins(message, str_keys=True))


def _is_finite(value: Any) -> bool:
    """Check the numbers in builtin objects."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, cast("dict[str, Any]", value).values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_finite, cast("list[Any]", value)))
    return True
