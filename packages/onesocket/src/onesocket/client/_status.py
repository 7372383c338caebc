"""Frozen snapshots of a client, and the record of each change."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .._record import record
from ..errors import OnesocketError
from ..lifecycle._states import State
from ..wire._handshake import Handshake


@record(kw_only=True)
class Status:
    """The client at one moment. Times are Unix time in seconds, durations are seconds."""

    url: str
    """Without query values and user info."""
    state: State
    epoch: int
    """The number of the newest connection (0: none yet); never reused."""
    attempt: int
    """Failures in a row since a connection last proved itself."""
    last_error: OnesocketError | None
    last_loss: OnesocketError | None = None
    """Reason for the last loss of the connection, kept once it is up again; None: none yet but by our own close."""
    last_lost_at: float | None = None
    connected_at: float | None
    """Time at which the present connection came up; None while there is none."""
    last_connected_at: float | None
    """Time at which a connection last came up."""
    retry_in: float | None
    """Seconds until the next attempt, while backing off."""
    rtt: float | None
    """The newest measured round trip of a PING, in seconds."""
    callers: int
    """Number of `connect()` calls that wait."""
    outbox: int
    """Number of messages that wait to be sent."""
    inbox: int
    """Length of the longest queue of any subscriber."""
    subscribers: int
    is_held: bool
    """True while a subscriber with the rule `wait` holds the connection back."""
    handshake: Handshake | None = None
    """The server's answer to the upgrade of the present connection; None while there is none."""

    @property
    def subprotocol(self) -> str | None:
        """The sub-protocol that the server chose for the present connection."""
        return None if self.handshake is None else self.handshake.subprotocol

    @property
    def is_connected(self) -> bool:
        """Open and logged in."""
        return self.state is State.CONNECTED

    @property
    def is_connecting(self) -> bool:
        """An attempt is in flight."""
        return self.state is State.CONNECTING

    @property
    def is_manually_disconnected(self) -> bool:
        """`disconnect()` was called, and no `reconnect()` since."""
        return self.state is State.STOPPED

    @property
    def reconnect_attempts(self) -> int:
        """The same as `attempt`."""
        return self.attempt


@record
class Change:
    """One change of the state."""

    at: float
    """Unix time, seconds."""
    old: State
    new: State
    epoch: int
    cause: str
    """The name of the event that caused it: Connect, ProtocolReady, ConnectionGone, TimerFired …"""
    error: OnesocketError | None


@record(kw_only=True)
class ConnectionStats:
    """Counters of one connection over all its epochs; those of a shared one count for all who share it."""

    attempts: int = 0
    """Connections dialled."""
    handshakes: int = 0
    """Upgrades that went through."""
    reconnects: int = 0
    """Connections that came up again after an earlier one."""
    received: int = 0
    """Messages that came, those that could not be decoded among them."""
    sent: int = 0
    """Messages written to a socket."""
    gaps: int = 0
    """Times that the connection was away, so that messages may be missing."""
    undecodable: int = 0
    """Messages that the protocol could not read."""
    stale_dropped: int = 0
    """Events of a past connection that were dropped."""
    late_answers: int = 0
    """Answers to requests that had ended (time-out, cancellation), which were dropped."""
    received_bytes: int | None = None
    """Bytes of frames (not of TLS); None: they are counted for `instruments=` alone, by the transports that can."""
    sent_bytes: int | None = None
    """Bytes of frames, as `received_bytes`."""

    def __add__(self, other: ConnectionStats) -> ConnectionStats:
        """The counters of one owner of a connection, and those of the owners before it."""
        sums: dict[str, Any] = {}
        for name in (field.name for field in fields(self)):
            sums[name] = _sum(getattr(self, name), getattr(other, name))
        return ConnectionStats(**sums)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)


@record(kw_only=True)
class Stats:
    """Counters of a client since it was made, and in `connection` those of its connection."""

    attempts: int
    """Connections dialled."""
    handshakes: int
    """Upgrades that went through."""
    opened: int
    """`connect()` calls that started an attempt."""
    joined: int
    """`connect()` calls that shared an attempt."""
    already_connected: int
    """`connect()` calls that found the connection up."""
    reconnects: int
    """Connections that came up again after an earlier one."""
    stale_dropped: int
    """Events of a past connection that were dropped."""
    late_answers: int
    """Answers to requests that had ended (time-out, cancellation), which were dropped; all of the connection."""
    received: int
    """Messages delivered to the subscribers."""
    sent: int
    """Messages written to a socket."""
    undecodable: int
    """Messages that the protocol could not read."""
    callback_errors: int
    """Exceptions of subscribers and of deliveries that were not awaited."""
    gaps: int
    """Times that the connection was away, so that messages may be missing."""
    overflows: int
    """Times that a reader of this client was too slow: messages were dropped, or it got `SlowConsumer`."""
    dropped: int
    """Messages dropped for readers that were too slow, each counted for each reader."""
    connection: ConnectionStats
    """Counters of the connection itself, which this client may share with others."""
