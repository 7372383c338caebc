"""The states of a connection, and the states that a close leads to."""

from __future__ import annotations

import enum


class State(enum.StrEnum):
    """The state of the one connection."""

    DISCONNECTED = "disconnected"
    """Nothing open, nothing under way."""
    CONNECTING = "connecting"
    """Exactly one attempt in flight."""
    CONNECTED = "connected"
    """Open and logged in."""
    BACKING_OFF = "backing off"
    """The connection was lost; the next attempt has a date."""
    CLOSING = "closing"
    """A close is under way, bounded in time, and the state after it is known."""
    FAILED = "failed"
    """The last attempt failed, or the retries are exhausted; `last_error` says why."""
    STOPPED = "stopped"
    """`disconnect()` was called: only `reconnect()` lifts that."""
    CLOSED = "closed"
    """`aclose()` was called; final."""


class Side(enum.StrEnum):
    """The state of the side connection: the one beside the authoritative connection, while a rotation lasts."""

    NONE = "none"
    """There is none."""
    OPENING = "opening"
    """A successor is being opened, logged in and caught up; the state is CONNECTED."""
    CLOSING = "closing"
    """The predecessor, or a successor that was given up, is being closed, bounded in time."""


class AfterClose(enum.StrEnum):
    """The next step once a close is done."""

    DISCONNECTED = "disconnected"
    NEW_ATTEMPT = "a new attempt"
    BACK_OFF = "backing off"
    FAIL = "failed"
    STOP = "stopped"
    CLOSE = "closed"
