"""Payloads: the envelope, decoded first, and the dispatch, whose body is decoded on access."""

from __future__ import annotations

from typing import Any

import msgspec

from onesocket.errors import DecodeError, EncodeError
from onesocket.wire._handshake import Data

from ._errors import PayloadTooBig
from ._limits import PAYLOAD_LIMIT
from ._opcodes import Opcode
from .events import EVENT_DECODERS

_NULL = msgspec.Raw(b"null")
_NOT_DECODED: Any = object()


class Envelope(msgspec.Struct, gc=False):
    """The envelope of every payload; `d` is not decoded."""

    op: int
    d: msgspec.Raw = _NULL
    s: int | None = None
    t: str | None = None


class Dispatch:
    """One event. All subscribers share the object, so its body is decoded at most once, on access."""

    __slots__ = ("_data", "_plain", "_raw", "event", "sequence")

    def __init__(self, event: str, sequence: int | None, raw: bytes | msgspec.Raw) -> None:
        self.event = event
        """Its name, such as ``"MESSAGE_CREATE"``."""
        self.sequence = sequence
        """Its number in the session."""
        self._raw = raw
        self._data: Any = _NOT_DECODED
        self._plain: Any = _NOT_DECODED

    def __repr__(self) -> str:
        return f"<Dispatch {self.event} sequence={self.sequence}>"

    @property
    def data(self) -> Any:
        """The body: a struct of `onesocket_discord.protocol.events` for the common events, else plain objects.

        Raises `DecodeError` if a body doesn't fit its struct; `plain` can be read all the same.
        """
        if self._data is _NOT_DECODED:
            decoder = EVENT_DECODERS.get(self.event)
            self._data = self.plain if decoder is None else _decode(decoder.decode, self._raw, self.event)
        return self._data

    @property
    def plain(self) -> Any:
        """The whole body as plain dicts and lists. Raises `DecodeError`."""
        if self._plain is _NOT_DECODED:
            self._plain = _decode(msgspec.json.decode, self._raw, self.event)
        return self._plain


def pack_dispatch(dispatch: Dispatch) -> bytes:
    """Encode a dispatch for another process."""
    raw = dispatch._raw  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - not decoded
    return _encode(Envelope(Opcode.DISPATCH, msgspec.Raw(raw), dispatch.sequence, dispatch.event))


def unpack_dispatch(data: Data) -> Dispatch:
    """Decode a packed dispatch. Raises `DecodeError`."""
    envelope = read_envelope(data)
    if envelope.t is None:
        raise DecodeError("another process sent a dispatch without a name")
    return Dispatch(envelope.t, envelope.s, envelope.d)


def read_envelope(data: Data) -> Envelope:
    """Decode the envelope of a payload. Raises `DecodeError`."""
    envelope: Envelope = _decode(_ENVELOPE.decode, data, "a payload")
    return envelope


def read_body(raw: msgspec.Raw, kind: type[Any], what: str) -> Any:
    """Decode the body as this type. Raises `DecodeError`."""
    return _decode(msgspec.json.Decoder(kind).decode, raw, what)


def encode_command(opcode: int, body: Any) -> str:
    """Encode a payload as text. Raises `EncodeError`, and `PayloadTooBig` beyond 4 096 bytes."""
    return encode_payload({"op": int(opcode), "d": body})


def encode_payload(payload: Any) -> str:
    """Encode a payload as text. Raises `EncodeError`, and `PayloadTooBig` beyond 4 096 bytes."""
    try:
        data = _encode(payload)
        text = data.decode()
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError) as error:
        raise EncodeError(f"a payload can't be sent as JSON: {error}") from error
    if len(data) > PAYLOAD_LIMIT:
        raise PayloadTooBig(
            f"a payload of {len(data)} bytes is over the gateway's limit of {PAYLOAD_LIMIT}: send less at once"
        )
    return text


def _decode(decode: Any, data: Any, what: str) -> Any:
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise DecodeError(f"{what} is not the expected JSON: {error}") from error


_ENVELOPE = msgspec.json.Decoder(Envelope)
_encode = msgspec.json.Encoder().encode
