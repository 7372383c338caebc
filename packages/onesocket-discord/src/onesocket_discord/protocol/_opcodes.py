"""The gateway's opcodes (Discord's documentation, "Gateway opcodes")."""

from __future__ import annotations

import enum
from typing import Final


class Opcode(enum.IntEnum):
    """The kind of a payload."""

    DISPATCH = 0
    """An event; the only one with `s` and `t`."""
    HEARTBEAT = 1
    """From a client: a heartbeat; from the server: a request for one now."""
    IDENTIFY = 2
    PRESENCE_UPDATE = 3
    VOICE_STATE_UPDATE = 4
    RESUME = 6
    RECONNECT = 7
    """Close, connect again and resume."""
    REQUEST_GUILD_MEMBERS = 8
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11
    REQUEST_SOUNDBOARD_SOUNDS = 31


RESERVED_OPCODES: Final = frozenset({Opcode.HEARTBEAT, Opcode.IDENTIFY, Opcode.RESUME})
"""Sent by the protocol alone: another one would cost the session (4005, 4009)."""
