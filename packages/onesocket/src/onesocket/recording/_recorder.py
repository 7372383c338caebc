"""The flight recorder: the newest frames and transitions of a connection, written when they are wanted."""

from __future__ import annotations

import itertools
import logging
import os
import signal as signal_module
from collections.abc import Callable
from pathlib import Path
from typing import Protocol as TypingProtocol

from ..errors import InvalidOption, OnesocketError, UsageError
from ..protocols._protocol import Protocol
from ._entries import Entry, line_of, lines_of
from ._files import RecordingDirectory, make_header, write_file
from ._lines import Header, Line
from ._reader import Recording
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
        if when is not None and not callable(when):
            raise InvalidOption(f"when must be a function of the error, not {type(when).__name__}")
        if sink is not None and (when is not None or signal is not None):
            raise InvalidOption("when= and signal= write what the ring keeps, and with sink= there is none")
        if directory is None and (when is not None or signal is not None):
            raise InvalidOption("when= and signal= need directory=, where the files are to be")
        self._directory = RecordingDirectory(directory or "", _check_count("max_files", max_files))
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
        if self._sink is not None:
            self._sink.add(line_of(entry))

    def _lost(self, error: OnesocketError) -> None:
        if self._when is None:
            return
        try:
            matches = self._when(error)
        except Exception as failure:  # noqa: BLE001 - the user's function must not harm the connection
            _log.error("when= of the flight recorder raised %s", type(failure).__name__, exc_info=failure)
            return
        if matches:
            self.write_automatically()


def check_recorder(value: object) -> FlightRecorder | None:
    """The value of an option `recorder=`; raises `InvalidOption`."""
    if value is not None and not isinstance(value, FlightRecorder):
        raise InvalidOption(f"recorder must be a FlightRecorder (an instance) or None, not {value!r}")
    return value


def _check_count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidOption(f"{name} must be a whole number, at least 1, not {value!r}")
    return value
