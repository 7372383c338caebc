"""The flight recorder: the newest frames and transitions of a connection, written when they are wanted."""

from __future__ import annotations

import itertools
import logging
import os
import signal as signal_module
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from typing import Protocol as TypingProtocol

from ..errors import InvalidOption, OnesocketError, UsageError
from ..protocols._plain_function import is_plain_function, kind_of
from ..protocols._protocol import Protocol
from ._entries import Entry, line_of, lines_of
from ._files import RecordingDirectory, make_header, write_file
from ._lines import Header, Line
from ._reader import Recording
from ._redaction import HOOK_ERRORS
from ._ring import Ring
from ._signals import write_on_signal
from ._tap import ClientTap

_log = logging.getLogger("onesocket")


class RecordingSink(TypingProtocol):
    """Takes each line as it happens, on the loop of its client."""

    def begin(self, header: Header) -> None:
        """Take the header, before all lines."""

    def add(self, line: Line) -> None:
        """Take one line."""


class FlightRecorder:
    """Keeps the newest frames and transitions of a connection, with their times: ``Client(url, recorder=…)``.

    They are written by `write(path)`, by a signal, or when the connection is lost for a reason that matches. Logins,
    tokens, values of headers and of the URL's query are not written down; the protocol may say more (`redact`).

    Parameters:
        frames: How many frames, transitions and other events are kept.
        bytes: How much memory they may take.
        redact: False: everything is written as it is, for tests against servers of your own.
        sink: Takes all lines at once instead of the ring: `RecordingFile(path)`, or an object of your own.
        directory: Where `when` and `signal` write.
        when: A function of the error for which the connection was lost, or the client has failed: true to write.
        signal: The signal that makes the recorder write: `signal.SIGUSR1` or `signal.SIGUSR2`.
        max_files: How many files the directory may have; the oldest are removed.
    """

    def __init__(
        self,
        *,
        frames: int = 1000,
        bytes: int = 1 << 20,  # noqa: A002 - the word for it
        redact: bool = True,
        sink: RecordingSink | None = None,
        directory: str | os.PathLike[str] | None = None,
        when: Callable[[OnesocketError], bool] | None = None,
        signal: signal_module.Signals | None = None,
        max_files: int = 10,
    ) -> None:
        self._redact = redact
        self._ring = Ring(_check_count("frames", frames), _check_count("bytes", bytes))
        self._sink = sink
        self._when = when
        self._numbers = itertools.count(1)
        if sink is not None and not (callable(getattr(sink, "add", None)) and callable(getattr(sink, "begin", None))):
            raise InvalidOption(f"sink must have begin() and add(), as RecordingFile(path) has, not be {sink!r}")
        if when is not None and not is_plain_function(when):
            raise InvalidOption(f"when must be a plain function of the error, not {kind_of(when)}")
        if sink is not None and (when is not None or signal is not None):
            raise InvalidOption("when= and signal= write what the ring keeps, and with sink= there is none")
        if not isinstance(redact, bool):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a type checker
            raise InvalidOption(f"redact must be True or False, not {redact!r}")
        if directory is None and (when is not None or signal is not None):
            raise InvalidOption("when= and signal= need directory=, where the files are to be")
        self._directory = RecordingDirectory(_check_directory(directory), _check_count("max_files", max_files))
        self.sink_error: BaseException | None = None
        """The error of the sink, which has got no line since."""
        if sink is not None:
            sink.begin(make_header(redacted=redact))
        if signal is not None:
            write_on_signal(signal, self)

    def __repr__(self) -> str:
        return f"<FlightRecorder {self._ring!r}>" if self._sink is None else f"<FlightRecorder to {self._sink!r}>"

    @property
    def recording(self) -> Recording:
        """The present content."""
        return Recording(make_header(redacted=self._redact, dropped=self._ring.dropped), self._lines())

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the present content to a file, which only its owner can read; in any thread. Raises `OSError`."""
        lines = self._lines()
        write_file(path, make_header(redacted=self._redact, dropped=self._ring.dropped), lines)

    def write_automatically(self) -> Path | None:
        """Write another file of the directory, as `when` and `signal` do; a failure is logged."""
        try:
            path = self._directory.write(make_header(redacted=self._redact, dropped=self._ring.dropped), self._lines())
        except OSError as error:
            _log.error("the flight recorder could not write to %s: %s", self._directory.path, error.strerror)
            return None
        except Exception:  # noqa: BLE001 - a recorder harms neither its connection nor the code that a signal interrupts
            _log.exception("the flight recorder could not write to %s", self._directory.path)
            return None
        _log.warning("the flight recorder wrote %s", path)
        return path

    def tap(self, protocol: Protocol) -> ClientTap:
        """The tap of another client; see `onesocket.client`."""
        add = self._ring.add if self._sink is None else self._to_sink
        return ClientTap(add, protocol, next_number=self._numbers.__next__, redacts=self._redact, on_loss=self._lost)

    def _lines(self) -> list[Line]:
        if self._sink is not None:
            raise UsageError("this recorder keeps nothing: its sink has everything")
        return list(lines_of(self._ring.copy()))

    def _to_sink(self, entry: Entry) -> None:
        if self._sink is None or self.sink_error is not None:
            return
        try:
            self._sink.add(line_of(entry))
        except HOOK_ERRORS as error:
            self.sink_error = error
            _log.error("the sink of the flight recorder failed, and gets no more lines: %r", error, exc_info=error)

    def _lost(self, error: OnesocketError) -> None:
        if self._when is None:
            return
        try:
            matches = self._when(error)
        except HOOK_ERRORS as failure:
            _log.error("when= of the flight recorder raised %s", type(failure).__name__, exc_info=failure)
            return
        if matches:
            self.write_automatically()


def check_recorder(value: object) -> FlightRecorder | None:
    """The value of an option `recorder=`; raises `InvalidOption`."""
    if value is not None and not isinstance(value, FlightRecorder):
        raise InvalidOption(f"recorder must be a FlightRecorder (an instance) or None, not {value!r}")
    return value


def _check_directory(value: Any) -> str:
    if value is None:
        return ""
    path: Any = os.fspath(cast("str", value)) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidOption(f"directory must be the path of a directory, not {value!r}")
    return path


def _check_count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= sys.maxsize:
        raise InvalidOption(f"{name} must be a whole number, at least 1, not {value!r}")
    return value
