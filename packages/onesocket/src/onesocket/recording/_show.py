"""Shows lines of a recording to people: one line of text each, without control characters."""

from __future__ import annotations

import time
from typing import Final

from .._printable import printable, printable_bytes
from ._lines import (
    AbortLine,
    CloseLine,
    DialLine,
    EndLine,
    ErrorRecord,
    Line,
    MessageLine,
    OpenLine,
    PeerCloseLine,
    PingLine,
    PongLine,
    ReceivedLine,
    SentLine,
    StateLine,
    ViolationLine,
)

# Characters of a message that are shown.
_EXCERPT: Final = 120
_FROM_SERVER: Final = (OpenLine, ReceivedLine, PongLine, PeerCloseLine, ViolationLine)
_TO_SERVER: Final = (DialLine, SentLine, PingLine, CloseLine, AbortLine)


def describe(line: Line) -> str:
    """Direction, kind and content: ``< text 23 B {"a":1}``. Control characters are escaped."""
    mark = "<" if isinstance(line, _FROM_SERVER) else ">" if isinstance(line, _TO_SERVER) else "="
    return f"{mark} {printable(_content(line))}"


def describe_time(line: Line, began: float) -> str:
    """The time of day (UTC), and the seconds since `began` on the clock of the loop."""
    day = time.strftime("%H:%M:%S", time.gmtime(line.at))
    return f"{day}.{int(line.at % 1 * 1000):03} {line.t - began:+10.3f}"


def _content(line: Line) -> str:
    match line:
        case StateLine():
            return f"{line.old} -> {line.new} ({line.cause}){_reason(line.error)}{_verdict(line)}"
        case DialLine():
            return f"dial {line.url}{_list('headers', line.headers)}{_list('sub-protocols', line.subprotocols)}"
        case OpenLine():
            chosen = f" sub-protocol {line.subprotocol}" if line.subprotocol else ""
            return f"open{chosen}{' compressed' if line.is_compressed else ''}"
        case MessageLine():
            return _message(line)
        case PingLine():
            return f"PING {line.payload}"
        case PongLine():
            return f"PONG {line.payload}"
        case CloseLine() | PeerCloseLine():
            return f"CLOSE {line.code}" + (f" {line.reason}" if line.reason else "")
        case AbortLine():
            return "abort" + ("" if line.code is None else f" {line.code}")
        case ViolationLine():
            return f"violation{_reason(line.error)}"
        case EndLine():
            return f"end{_reason(line.error)}"
        case _:
            return type(line).__name__


def _message(line: MessageLine) -> str:
    data = line.data
    if data is None:
        return f"message {line.size} B, withheld ({line.withheld})"
    if isinstance(data, bytes):
        return f"binary {line.size} B {printable_bytes(data)}"
    more = " ..." if len(data) > _EXCERPT else ""
    return f"text {line.size} B {data[:_EXCERPT]}{more}"


def _reason(error: ErrorRecord | None) -> str:
    return "" if error is None else f": {error.type}: {error.text}"


def _verdict(line: StateLine) -> str:
    """Text of the consequence of a failure."""
    if line.new == "FAILED":
        return "; given up"
    if line.new == "BACKING_OFF" and line.retry_in is not None:
        return f"; next attempt in {line.retry_in:.3f} s" if line.retry_in else "; next attempt at once"
    return ""


def _list(name: str, values: list[str]) -> str:
    return f" {name} {', '.join(values)}" if values else ""
