"""Frozen snapshots of a client, and the record of each change."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OnesocketError
from ..lifecycle._states import State
from ..wire._handshake import Handshake


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counters of a client since it was made."""

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
    received: int
    """Messages delivered to the subscribers."""
    sent: int
    """Messages written to a socket."""
    undecodable: int
    """Messages that the protocol could not read."""
    callback_errors: int
    """Exceptions of subscribers and of deliveries that were not awaited."""
