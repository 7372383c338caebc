"""Codecs that decode into a type of the caller's: the options and the typing of `Json` and `Msgpack`."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack, overload

import msgspec

from ..errors import DecodeError, EncodeError, InvalidOption
from ..wire._handshake import Data
from ._codec import CodecProtocol
from ._codec_options import CodecOptions, check_bool, check_decode
from ._decodable import checked_decoder
from ._message_type import M_co
from ._protocol import Action, Fail, Undecodable

if TYPE_CHECKING:
    from typing_extensions import TypeForm

_DECODER_ERRORS: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


class TypedCodec(CodecProtocol[M_co]):
    """Base of the codecs by msgspec."""

    format: ClassVar[str]
    """The name of the format, for errors."""
    _pydantic_remedy: ClassVar[str]
    """The option for a model of pydantic, for errors."""

    # `type[…]` fits classes; `TypeForm[…]` fits unions, `Annotated` and the like, with checkers that know it (PEP 747).
    # With others, and of a type that isn't known, messages are `Any`.

    @overload
    def __init__(self, *, type: type[M_co], many: bool = ..., **options: Unpack[CodecOptions]) -> None: ...
    @overload
    def __init__(self, *, type: TypeForm[M_co], many: bool = ..., **options: Unpack[CodecOptions]) -> None: ...
    @overload
    def __init__(
        self, *, decode: Callable[[Data], M_co], many: bool = ..., **options: Unpack[CodecOptions]
    ) -> None: ...
    @overload
    def __init__(self, *, type: Any = ..., many: bool = ..., **options: Unpack[CodecOptions]) -> None: ...
    def __init__(
        self,
        *,
        type: Any = Any,  # noqa: A002 - as msgspec has it
        decode: Callable[[Data], Any] | None = None,
        many: bool = False,
        **options: Unpack[CodecOptions],
    ) -> None:
        super().__init__(**options)
        self._many = check_bool("many", many)
        self._split = self._make_decoder(list[msgspec.Raw]) if many else None
        self._decode_list: Callable[[Data], list[M_co]] | None = None
        if decode is not None:
            if type is not Any:
                raise InvalidOption("give type= or decode=, not both: the result of decode= is the message")
            self._decode: Callable[[Any], M_co] = check_decode(decode)
            self._decode_errors: tuple[type[Exception], ...] = (Exception,)  # any may be the fault of what came
            return
        self._decode = checked_decoder(type, self._make_decoder, self._pydantic_remedy)
        self._decode_errors = _DECODER_ERRORS
        if many:
            self._decode_list = self._make_decoder(list[type])

    @abc.abstractmethod
    def _make_decoder(self, kind: Any) -> Callable[[Any], Any]:
        """Return msgspec's function that decodes one value of this type."""

    def _unencodable(self, message: object, error: Exception) -> EncodeError:
        """The error for a message that msgspec can't encode."""
        remedy = '; send its model_dump(mode="json")' if hasattr(message, "model_dump") else ""
        kind = type(message).__name__
        return EncodeError(f"a message of type {kind} can't be sent as {self.format}: {error}{remedy}")

    @abc.abstractmethod
    def _is_array(self, data: Data) -> bool:
        """Return whether the frame is an array."""

    @abc.abstractmethod
    def _part(self, raw: msgspec.Raw, data: Data) -> Data:
        """Return an element of the frame `data` as a frame of its own."""

    def decode(self, data: Data) -> M_co:
        """Decode one message."""
        try:
            return self._decode(data)
        except self._decode_errors as error:
            raise self._failure(data, error) from error

    # --- several messages in a frame ----------------------------------------------------------------------------------

    def decoder(self) -> Callable[[Data], M_co] | None:
        """Return `decode`, unless a frame may hold several messages."""
        return None if self._many else super().decoder()

    def batch_decoder(self) -> Callable[[Data], list[M_co]] | None:
        """Return the function that decodes all messages of a frame, if it may hold several."""
        is_plain = super().decoder() == self.frame_decoder()  # each message is delivered, and no more
        return self._decode_batch if self._many and is_plain else None

    def received(self, data: Data, now: float) -> Iterable[Action]:
        """Take one frame: a message, or several."""
        if self._many and self._is_array(data):
            return self._received_each(data, now)
        return super().received(data, now)

    def _decode_batch(self, data: Data) -> list[M_co]:
        if not self._is_array(data):
            return [self.decode(data)]
        if self._decode_list is None:
            return [self.decode(part) for part in self._parts(data)]
        try:
            return self._decode_list(data)
        except self._decode_errors as error:
            raise self._failure(data, error) from error

    def _received_each(self, data: Data, now: float) -> Iterator[Action]:
        heartbeats = self._heartbeats
        if heartbeats is not None and self._is_heartbeat(data, raw=True):
            yield from heartbeats.take(now, self.encode)
            return
        try:
            parts = self._parts(data)
        except DecodeError as error:
            yield Undecodable(error.with_data(data), count=None)
            return
        for part in parts:
            try:
                message = self.decode(part)
            except DecodeError as error:
                yield Undecodable(error.with_data(part), part)
                continue
            if heartbeats is not None and self._is_heartbeat(message, raw=False):
                actions = heartbeats.take(now, self.encode)
            else:
                actions = self._take(message, now, part)
            for action in actions:
                yield action
                if isinstance(action, Fail):
                    return

    def _parts(self, data: Data) -> list[Data]:
        """The elements of an array, each as a frame of its own. Raises `DecodeError` if it is malformed."""
        if self._split is None:
            return [data]
        try:
            return [self._part(raw, data) for raw in self._split(data)]
        except _DECODER_ERRORS as error:
            raise self._failure(data, error) from error

    def _failure(self, data: Data, error: Exception) -> DecodeError:
        if isinstance(error, DecodeError):
            return error
        unit = "characters" if isinstance(data, str) else "bytes"
        # The text of another library's error may repeat what came.
        reason = error if isinstance(error, _DECODER_ERRORS) else type(error).__name__
        return DecodeError(f"a message of {len(data)} {unit} is not the expected {self.format}: {reason}")
