"""Codecs that decode into a type of the caller's: the options and the typing of `Json` and `Msgpack`."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, overload

import msgspec

from ..errors import DecodeError
from ..wire._handshake import Data
from ._codec import CodecOptions, CodecProtocol
from ._message_type import M_co

if TYPE_CHECKING:
    from typing_extensions import TypeForm


class TypedCodec(CodecProtocol[M_co]):
    """Base of the codecs by msgspec."""

    format: ClassVar[str]
    """The name of the format, for errors."""

    # `type[…]` fits classes; `TypeForm[…]` fits unions, `Annotated` and the like, with checkers that know it (PEP 747).
    # With others, and of a type that isn't known, messages are `Any`.

    @overload
    def __init__(self, *, type: type[M_co], **options: Unpack[CodecOptions]) -> None: ...
    @overload
    def __init__(self, *, type: TypeForm[M_co], **options: Unpack[CodecOptions]) -> None: ...
    @overload
    def __init__(self, *, type: Any = ..., **options: Unpack[CodecOptions]) -> None: ...
    def __init__(self, *, type: Any = Any, **options: Unpack[CodecOptions]) -> None:  # noqa: A002 - as msgspec has it
        super().__init__(**options)
        self._decode: Callable[[Data], M_co] = self._make_decoder(type)

    @abc.abstractmethod
    def _make_decoder(self, kind: Any) -> Callable[[Any], Any]:
        """Return msgspec's function that decodes one value of this type."""

    def decode(self, data: Data) -> M_co:
        """Decode one frame to an object."""
        try:
            return self._decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            unit = "characters" if isinstance(data, str) else "bytes"
            raise DecodeError(f"a message of {len(data)} {unit} is not the expected {self.format}: {error}") from error
