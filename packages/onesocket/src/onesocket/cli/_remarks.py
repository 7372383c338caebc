"""Remarks of the commands about a connection: its state, its gaps and its end."""

from __future__ import annotations

from ..client import Change, Gap, GapReason, State, Status
from ..errors import OnesocketError
from ._output import Output


def change_text(change: Change, status: Status) -> str:
    """Describe a change of the state; empty if it needs no remark."""
    match change.new:
        case State.CONNECTING:
            return f"connecting to {status.url}"
        case State.CONNECTED:
            return "connected" + (f" (sub-protocol {status.subprotocol})" if status.subprotocol else "")
        case State.BACKING_OFF:
            wait = status.retry_in or 0.0
            what = "connecting failed" if status.last_connected_at is None else "connection lost"
            return f"{what}: {change.error}; next attempt " + (f"in {wait:.1f} s" if wait else "now")
        case State.CLOSING:
            return "" if change.error is not None else "closing"  # the server closes, and the reason follows
        case State.CLOSED:
            return "closed"
        case _:
            return ""


def gap_text(gap: Gap) -> str:
    """Describe a place where messages may be missing."""
    if gap.reason is GapReason.RECONNECTED:
        return "gap: the connection was down; messages that the server sent meanwhile may be missing here"
    if gap.reason is GapReason.UNDECODABLE:
        return f"gap: a message could not be decoded: {gap.error}"
    return f"gap: {gap.missed} messages are missing here"


def show_failure(output: Output, error: OnesocketError) -> None:
    """Write the reason of a failure, and what can be done about it."""
    output.fail(str(error))
    if error.retryable and error.retry_after is not None:
        output.fail(f"the server asks to wait {error.retry_after:g} s before the next attempt")
    elif error.retryable:
        output.fail("the same command can work later without any change on this side")
    else:
        output.fail("trying again won't help until something is changed")
