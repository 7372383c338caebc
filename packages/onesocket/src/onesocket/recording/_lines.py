"""The lines of a recording: one class for each kind, and the header of the file. docs/recording.md describes them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

import msgspec

from .. import errors
from .._printable import printable
from ..errors import OnesocketError
from ..lifecycle._peer_errors import connection_reset
from ..wire._handshake import Data, size_of

FORMAT: Final = "onesocket recording"
VERSION: Final = 1
WITHHELD: Final = "***"
"""Stands for a value that is not written down."""

_ERROR_FIELDS: Final = ("retryable", "retry_after", "code", "reason", "status")


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line of a file."""

    format: str
    version: int
    by: str
    """Name and version of the library that wrote the file."""
    at: float
    """Unix time of the first write."""
    redacted: bool
    """False: everything was written as it was, secrets too."""
    dropped: int = 0
    """Number of older lines that the ring had dropped."""


class ErrorRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An error, as far as a replay needs it."""

    type: str
    text: str
    retryable: bool = False
    retry_after: float | None = None
    code: int | None = None
    reason: str | None = None
    status: int | None = None

    @classmethod
    def of(cls, error: OnesocketError, shown: Callable[[str], str]) -> ErrorRecord:
        """The record of this error; `shown`: a function that masks the secrets in a text."""
        values: dict[str, Any] = {name: getattr(error, name, None) for name in _ERROR_FIELDS}
        if isinstance(values["reason"], str):
            values["reason"] = _encodable(shown(values["reason"]))
        return cls(type=type(error).__name__, text=_encodable(shown(str(error))), **values)

    def error(self) -> OnesocketError:
        """The error again; one that `onesocket.errors` doesn't have becomes an `OnesocketError`."""
        kind: Any = getattr(errors, self.type, OnesocketError)
        if not (isinstance(kind, type) and issubclass(kind, OnesocketError)):
            kind = OnesocketError
        error: OnesocketError = kind.__new__(kind, self.text)
        error.args = (self.text,)
        for name in _ERROR_FIELDS:
            value = getattr(self, name)
            if value is not None or hasattr(error, name):
                setattr(error, name, value)
        return error


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True):
    """Base of all lines but the header."""

    t: float
    """Seconds on the clock of the event loop, which never goes back."""
    at: float
    """Unix time."""
    client: int
    """The number of the client, of those that have this recorder; the first is 1."""
    epoch: int
    """The number of the client's connection."""


class StateLine(Line, tag="state", frozen=True):
    """The state of the client changed."""

    old: str
    new: str
    cause: str
    error: ErrorRecord | None = None
    retry_in: float | None = None
    """Seconds until the next attempt."""


class DialLine(Line, tag="dial", frozen=True):
    """A connection attempt began; the URL has no query values, and the headers no values."""

    url: str
    headers: list[str] = []
    subprotocols: list[str] = []
    max_size: int | None = None


class OpenLine(Line, tag="open", frozen=True):
    """The upgrade went through."""

    subprotocol: str | None = None
    headers: list[tuple[str, str]] = []

    @property
    def is_compressed(self) -> bool:
        """True if permessage-deflate was agreed on."""
        return any(name == "sec-websocket-extensions" and "deflate" in value for name, value in self.headers)


class MessageLine(Line, frozen=True):
    """Base of the lines of messages: exactly one of `text`, `base64` and `withheld` is set."""

    size: int
    """Bytes of the message as it was."""
    text: str | None = None
    base64: str | None = None
    withheld: str | None = None
    """The reason for which the message is not written down."""

    @property
    def data(self) -> Data | None:
        """The message as it was written down; None: it was withheld."""
        return self.text if self.base64 is None else base64.b64decode(self.base64)


class ReceivedLine(MessageLine, tag="received", frozen=True):
    """A message came."""


class SentLine(MessageLine, tag="sent", frozen=True):
    """A message was written to the connection."""


class PingLine(Line, tag="ping", frozen=True):
    """A PING was sent."""

    payload: str
    """In hexadecimal digits."""


class PongLine(Line, tag="pong", frozen=True):
    """A PONG came."""

    payload: str
    """In hexadecimal digits."""


class CloseLine(Line, tag="close", frozen=True):
    """The client began to close the connection."""

    code: int
    reason: str = ""


class AbortLine(Line, tag="abort", frozen=True):
    """The client ended the connection at once."""

    code: int | None = None


class PeerCloseLine(Line, tag="peer_close", frozen=True):
    """A CLOSE of the server came first; code 1005: it had none."""

    code: int
    reason: str = ""


class ViolationLine(Line, tag="violation", frozen=True):
    """The server broke the rules."""

    error: ErrorRecord


class EndLine(Line, tag="end", frozen=True):
    """Nothing is left of the connection."""

    error: ErrorRecord | None = None
    """None: the end that follows a CLOSE."""

    @property
    def reason(self) -> OnesocketError:
        """The error of the end, as a transport reports it."""
        return connection_reset() if self.error is None else self.error.error()


AnyLine = (
    StateLine
    | DialLine
    | OpenLine
    | ReceivedLine
    | SentLine
    | PingLine
    | PongLine
    | CloseLine
    | AbortLine
    | PeerCloseLine
    | ViolationLine
    | EndLine
)


def _encodable(text: str) -> str:
    """The text with surrogates, which a path may have, written out."""
    return text.encode(errors="backslashreplace").decode()


_encoder = msgspec.json.Encoder()


def encode_line(line: Line | Header) -> str:
    """One line of a file, without its end: JSON in which all characters are escaped that a terminal would act upon."""
    return printable(_encoder.encode(line).decode())


def content(data: Data | None, withheld: str = "") -> dict[str, str]:
    """The field of a `MessageLine` that holds this message, or the reason for which it is withheld."""
    if data is None:
        return {"withheld": withheld}
    return {"text": data} if isinstance(data, str) else {"base64": base64.b64encode(data).decode()}


def message_size(data: Data) -> int:
    """Bytes of a message."""
    return size_of(data)
