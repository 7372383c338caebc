"""The request log: one line for each request, as text or JSON, written by a thread."""

from __future__ import annotations

import datetime as dt
import enum
import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, Self, TextIO

from onesocket._threads import start_thread

from ._requests import RequestRecord

_MAX_WAITING: Final = 10_000
_END_SECONDS: Final = 2.0
"""Seconds for the lines that wait at the end."""


class LogFormat(enum.StrEnum):
    """The form of a line."""

    TEXT = "text"
    JSON = "json"


class RequestLog:
    """Writes lines in a thread: a reader that has stopped, as of a full pipe, doesn't stop the server.

    At most 10 000 lines wait; further ones are dropped, and a line says how many. A context manager.
    """

    def __init__(self, stream: TextIO, form: LogFormat, wall: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._make_line = {LogFormat.TEXT: text_line, LogFormat.JSON: json_line}[form]
        self._form = form
        self._wall = wall
        self._waiting: queue.Queue[str | None] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(target=self._write, name="chat-request-log", daemon=True)
        self.dropped = 0
        """Lines that were dropped since the last one that was not."""

    def __repr__(self) -> str:
        return f"<RequestLog {self._form} waiting={self._waiting.qsize()} dropped={self.dropped}>"

    def __enter__(self) -> Self:
        start_thread(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, as far as the stream takes it within 2 seconds."""
        try:
            self._waiting.put(None, timeout=_END_SECONDS)
        except queue.Full:
            return  # the thread is stuck; it ends with the process
        self._thread.join(_END_SECONDS)

    def __call__(self, record: RequestRecord) -> None:
        """Add a line."""
        try:
            if self.dropped:
                self._waiting.put_nowait(self._dropped_line(self.dropped))
                self.dropped = 0
            self._waiting.put_nowait(self._make_line(record, self._wall()))
        except queue.Full:
            self.dropped += 1

    def _dropped_line(self, number: int) -> str:
        text = f"{number} requests are missing here: the log was not read"
        if self._form is LogFormat.JSON:
            return json.dumps({"time": timestamp(self._wall()), "dropped": number, "message": text})
        return f"{timestamp(self._wall())} {text}"

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            try:
                self._stream.write(line + "\n")
                if self._waiting.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # the reader has gone, or the stream is closed
                return


def text_line(record: RequestRecord, now: float) -> str:
    """``TIME ADDRESS ACCOUNT METHOD PATH STATUS BYTES MILLISECONDSms``; a dash for an account that isn't known."""
    return (
        f"{timestamp(now)} {record.address or '-'} {record.account or '-'} {record.method} {record.path} "
        f"{record.status} {record.size}B {record.seconds * 1000:.1f}ms"
    )


def json_line(record: RequestRecord, now: float) -> str:
    """One object; ids are strings, as in the API, and what isn't known is null."""
    return json.dumps(
        {
            "time": timestamp(now),
            "address": record.address,
            "scheme": record.scheme,
            "account": None if record.account is None else str(record.account),
            "method": record.method,
            "route": record.route,
            "path": record.path,
            "status": record.status,
            "bytes": record.size,
            "seconds": round(record.seconds, 6),
        }
    )


def timestamp(now: float) -> str:
    """The time in UTC to the millisecond, by ISO 8601."""
    return dt.datetime.fromtimestamp(now, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
