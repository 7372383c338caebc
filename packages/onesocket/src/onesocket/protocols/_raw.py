"""Messages without an encoding: text is `str`, binary is `bytes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Unpack, cast

from ..errors import EncodeError, InvalidOption
from ..wire._handshake import Data
from ._codec import CodecProtocol
from ._codec_options import CodecOptions
from ._protocol import as_is


class Raw(CodecProtocol[Data]):
    """Protocol without an encoding; the default."""

    name: ClassVar[str] = "raw"

    def __init__(self, **options: Unpack[CodecOptions]) -> None:
        """Make a codec; options as of `CodecProtocol`."""
        super().__init__(**options)
        if isinstance(getattr(self.snapshot, "key", None), str):
            raise InvalidOption(
                "Raw messages have no fields: key= of LastValues has to be a function of the text or bytes"
            )

    def decode(self, data: Data) -> Data:
        """Return the frame itself."""
        return data

    def frame_decoder(self) -> Callable[[Data], Data]:
        """Return a function that returns each frame itself."""
        return as_is

    def encode(self, message: Any) -> Data:
        """Encode `str` as a text message, any bytes-like object as a binary one."""
        if isinstance(message, (str, bytes)):  # a union would be built for each message
            return message
        if isinstance(message, bytearray | memoryview):
            return bytes(cast("bytearray", message))
        raise EncodeError(
            f"the raw protocol sends str and bytes, not {type(message).__name__}; for objects use protocol=Json()"
        )
