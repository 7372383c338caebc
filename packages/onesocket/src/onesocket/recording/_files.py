"""Files of recordings: those that are written line by line, and a directory with a bounded number of them."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self, TextIO

from .._version import __version__
from ._lines import FORMAT, VERSION, Header, Line, encode_line

_PATTERN: Final = f"onesocket-{'[0-9]' * 8}T{'[0-9]' * 6}.{'[0-9]' * 6}Z-*.jsonl"


def make_header(*, redacted: bool, dropped: int = 0) -> Header:
    """The header of a file that is written now."""
    by = f"onesocket {__version__}"
    return Header(format=FORMAT, version=VERSION, by=by, at=time.time(), redacted=redacted, dropped=dropped)


class RecordingFile:
    """A sink without a bound: each line goes to a file at once. For tests; the file is the user's alone (0600).

    `redacted` is written into its header: the recorder tells it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: TextIO | None = None

    def __repr__(self) -> str:
        return f"<RecordingFile {str(self.path)!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, header: Header) -> None:
        """Open the file, and write its header."""
        self._file = _open_private(self.path)
        self._write(encode_line(header))

    def add(self, line: Line) -> None:
        """Write one line; nothing once the file is closed."""
        if self._file is not None:
            self._write(encode_line(line))

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _write(self, text: str) -> None:
        if self._file is not None:
            self._file.write(text + "\n")
            self._file.flush()


def write_file(path: str | os.PathLike[str], header: Header, lines: Iterable[Line]) -> None:
    """Write a whole file, which only its owner can read. Raises `OSError`."""
    with _open_private(Path(path)) as file:
        file.write(encode_line(header) + "\n")
        file.writelines(encode_line(line) + "\n" for line in lines)


class RecordingDirectory:
    """A directory with at most so many recordings: the oldest are removed."""

    def __init__(self, path: str | os.PathLike[str], max_files: int) -> None:
        self.path = Path(path)
        self._max_files = max_files
        self._count = 0

    def __repr__(self) -> str:
        return f"<RecordingDirectory {str(self.path)!r} max_files={self._max_files}>"

    def write(self, header: Header, lines: Iterable[Line]) -> Path:
        """Write another file, and return its path. Raises `OSError`."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._count += 1
        at = time.strftime("%Y%m%dT%H%M%S", time.gmtime(header.at)) + f".{int(header.at % 1 * 1e6):06}Z"
        path = self.path / f"onesocket-{at}-{os.getpid()}-{self._count}.jsonl"
        try:
            write_file(path, header, lines)
        except OSError:
            path.unlink(missing_ok=True)  # a part of a recording
            raise
        # Without the new one: by a clock that was set back, it may seem to be the oldest.
        others = sorted(old for old in self.path.glob(_PATTERN) if old != path)
        for old in others[: max(0, len(others) + 1 - self._max_files)]:
            old.unlink(missing_ok=True)
        return path


def _open_private(path: Path) -> TextIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    if hasattr(os, "fchmod") and stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)  # of a file that was there
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")
