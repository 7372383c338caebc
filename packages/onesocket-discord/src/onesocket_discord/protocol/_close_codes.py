"""The gateway's close codes: their reasons, meanings and remedies."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from onesocket.errors import ClosedByPeer, OnesocketError
from onesocket.lifecycle._peer_errors import closed_by_peer

from ._errors import (
    DisallowedIntents,
    GatewayRefusal,
    InvalidIntents,
    InvalidShard,
    InvalidVersion,
    ShardingRequired,
    WrongToken,
)


class CloseCode(enum.IntEnum):
    """Discord's documentation, "Gateway close event codes"."""

    UNKNOWN_ERROR = 4000
    UNKNOWN_OPCODE = 4001
    DECODE_ERROR = 4002
    NOT_AUTHENTICATED = 4003
    AUTHENTICATION_FAILED = 4004
    ALREADY_AUTHENTICATED = 4005
    INVALID_SEQUENCE = 4007
    RATE_LIMITED = 4008
    SESSION_TIMED_OUT = 4009
    INVALID_SHARD = 4010
    SHARDING_REQUIRED = 4011
    INVALID_API_VERSION = 4012
    INVALID_INTENTS = 4013
    DISALLOWED_INTENTS = 4014


REASONS: Final[Mapping[CloseCode, str]] = {
    **{code: code.name.replace("_", " ").capitalize() for code in CloseCode},
    CloseCode.DECODE_ERROR: "Error while decoding payload",
    CloseCode.INVALID_SEQUENCE: "Invalid seq",
    CloseCode.INVALID_API_VERSION: "Invalid API version",
}
"""The reasons that Discord sends with them."""

FATAL: Final[Mapping[int, tuple[type[GatewayRefusal], str]]] = {
    CloseCode.AUTHENTICATION_FAILED: (
        WrongToken,
        "the token is wrong: check it (the Bot page of the developer portal; it is reset when it leaks)",
    ),
    CloseCode.INVALID_SHARD: (InvalidShard, "shard= names a shard that can't be: check (id, number of shards)"),
    CloseCode.SHARDING_REQUIRED: (
        ShardingRequired,
        "too many guilds for one connection: use several clients, each with its own shard=",
    ),
    CloseCode.INVALID_API_VERSION: (
        InvalidVersion,
        "the gateway doesn't speak this version any more: update onesocket",
    ),
    CloseCode.INVALID_INTENTS: (InvalidIntents, "intents= holds a bit that doesn't exist: check the number"),
    CloseCode.DISALLOWED_INTENTS: (
        DisallowedIntents,
        (
            "a privileged intent isn't allowed: switch it on in the developer portal "
            "(Bot, Privileged Gateway Intents), or leave it out of intents="
        ),
    ),
}
"""The errors of the codes after which the same login would be refused again, with their remedies."""

NEEDS_NEW_SESSION: Final = frozenset({CloseCode.INVALID_SEQUENCE, CloseCode.SESSION_TIMED_OUT})
"""Codes after which the session is gone; after all others it is resumed."""

_MEANINGS: Final[Mapping[int, str]] = {
    CloseCode.UNKNOWN_ERROR: "unknown error",
    CloseCode.UNKNOWN_OPCODE: "it did not know an opcode",
    CloseCode.DECODE_ERROR: "it could not read a payload",
    CloseCode.NOT_AUTHENTICATED: "a payload came before the login, or the session was ended: a switched-off intent?",
    CloseCode.ALREADY_AUTHENTICATED: "a second login",
    CloseCode.INVALID_SEQUENCE: "a resume with a wrong sequence number",
    CloseCode.RATE_LIMITED: "too many payloads in 60 s",
    CloseCode.SESSION_TIMED_OUT: "the session timed out",
}


def close_error(code: int, reason: str) -> OnesocketError:
    """The typed error for a CLOSE of the gateway."""
    shown_reason = f": {reason}" if reason else ""
    fatal = FATAL.get(code)
    if fatal is not None:
        error, remedy = fatal
        text = f"the gateway refused the login with {code}{shown_reason}; {remedy}"
        return error(text, code=code, reason=reason, retryable=False)
    meaning = _MEANINGS.get(code)
    if meaning is None:
        return closed_by_peer(code, reason)
    text = f"the gateway closed the connection with {code} ({meaning}){shown_reason}"
    return ClosedByPeer(text, code=code, reason=reason, retryable=True)
