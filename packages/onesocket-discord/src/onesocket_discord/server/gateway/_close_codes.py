"""The gateway's close codes as Discord documents them, with the reasons that it sends."""

from __future__ import annotations

from typing import Final, NamedTuple


class CloseStatus(NamedTuple):
    """One code, and what the client is told."""

    code: int
    reason: str


UNKNOWN_ERROR: Final = CloseStatus(4000, "Unknown error")
UNKNOWN_OPCODE: Final = CloseStatus(4001, "Unknown opcode")
DECODE_ERROR: Final = CloseStatus(4002, "Error while decoding payload")
TOO_LARGE: Final = CloseStatus(4002, "Payload too large")
NOT_AUTHENTICATED: Final = CloseStatus(4003, "Not authenticated")
AUTHENTICATION_FAILED: Final = CloseStatus(4004, "Authentication failed")
ALREADY_AUTHENTICATED: Final = CloseStatus(4005, "Already authenticated")
INVALID_SEQ: Final = CloseStatus(4007, "Invalid seq")
RATE_LIMITED: Final = CloseStatus(4008, "Rate limited")
SESSION_TIMED_OUT: Final = CloseStatus(4009, "Session timed out")
INVALID_SHARD: Final = CloseStatus(4010, "Invalid shard")
SHARDING_REQUIRED: Final = CloseStatus(4011, "Sharding required")
INVALID_VERSION: Final = CloseStatus(4012, "Invalid API version")
INVALID_INTENTS: Final = CloseStatus(4013, "Invalid intents")
DISALLOWED_INTENTS: Final = CloseStatus(4014, "Disallowed intents")

# Codes that leave the session to be resumed: the client comes back.
NO_HEARTBEAT: Final = CloseStatus(4000, "No heartbeat came in time")
RESUMED_ELSEWHERE: Final = CloseStatus(4000, "The session was resumed on another connection")
GOING_AWAY: Final = CloseStatus(1001, "Discord WebSocket requesting client reconnect.")

ENDS_SESSION: Final = frozenset({1000, 1001})
"""A client that closes with one of these has no use for its session any more."""
