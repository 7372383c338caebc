"""Reads recordings, and refuses what it doesn't know."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from .._printable import printable
from ..errors import InvalidOption, InvalidRecording
from ._files import write_file
from ._lines import FORMAT, VERSION, AnyLine, Header, Line, MessageLine, PingLine, PongLine

_MAX_TIME: Final = 1e11
"""Seconds: what comes after is no date to the operating system."""

_header = msgspec.json.Decoder(Header)
_any = msgspec.json.Decoder(dict[str, Any])
_line = msgspec.json.Decoder(AnyLine)


class Recording:
    """Lines of a recorder, or of a file: ``Recording.load(path)``."""

    def __init__(self, header: Header, lines: Sequence[Line], *, is_torn: bool = False) -> None:
        self.header = header
        self.lines: tuple[Line, ...] = tuple(lines)
        self.is_torn = is_torn
        """True if the last line was written in part only (its program was killed), and was left out."""

    def __repr__(self) -> str:
        return f"<Recording lines={len(self.lines)}{' torn' if self.is_torn else ''}>"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Read a file. Raises `InvalidRecording`, which names the line, and `OSError`."""
        *lines, rest = Path(path).read_bytes().split(b"\n")
        name = os.fspath(path)
        if not lines:
            raise InvalidRecording(f"{name} is no recording: it has no complete first line")
        header = _read_header(name, lines[0])
        found = [_read(name, number, text) for number, text in enumerate(lines[1:], 2)]
        return cls(header, found, is_torn=bool(rest))

    @classmethod
    def of(cls, source: Recording | str | os.PathLike[str]) -> Recording:
        """The recording itself, or that of a path; raises as `load`, and `InvalidOption`."""
        given: Any = source  # of callers without a type checker, too
        if isinstance(given, Recording):
            return given
        if not isinstance(given, str | os.PathLike):
            kind = type(given).__name__
            raise InvalidOption(f"a replay needs a Recording (recorder.recording) or the path of a file, not {kind}")
        return cls.load(cast("str", given))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a file. Raises `OSError`."""
        write_file(path, self.header, self.lines)


def _read_header(name: str, text: bytes) -> Header:
    try:
        values = _any.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        values = {}
    if values.get("format") != FORMAT:
        raise InvalidRecording(f"{name} is no recording: its first line has no format {FORMAT!r}")
    version = values.get("version")
    if version != VERSION:
        raise InvalidRecording(f"{name} has version {version!r} of the format, and this release reads {VERSION}")
    try:
        return _header.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidRecording(f"{name}, line 1: {printable(str(error))}") from None


def _read(name: str, number: int, text: bytes) -> Line:
    try:
        line: Line = _line.decode(text)
        _check(line)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidRecording(f"{name}, line {number}: {printable(str(error))}") from None
    return line


def _check(line: Line) -> None:
    """Raise ValueError for values that no recorder writes."""
    if not 0 <= line.at < _MAX_TIME or not abs(line.t) < _MAX_TIME:
        raise ValueError(f"{line.at if abs(line.t) < _MAX_TIME else line.t} is no time")
    if isinstance(line, MessageLine):
        if [line.text, line.base64, line.withheld].count(None) != 2:
            raise ValueError("a message has one of text, base64 and withheld")
        base64.b64decode(line.base64 or "", validate=True)
    elif isinstance(line, PingLine | PongLine):
        bytes.fromhex(line.payload)
