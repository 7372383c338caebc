"""The gateway's numbers, each with its reason. Seconds and bytes."""

from __future__ import annotations

from typing import Final

API_VERSION: Final = 10

PAYLOAD_LIMIT: Final = 4096
"""Bytes of one payload of a client; a larger one is answered with 4002."""

SEND_LIMIT: Final = 120
"""Payloads sent on one connection within `SEND_WINDOW`, heartbeats included; beyond it: 4008."""
SEND_WINDOW: Final = 61.0
"""Discord counts 60 s. One second more, because a payload that arrives late is close to the next ones."""
MIN_SENDS: Final = 30
"""Slots of a window that stay the application's, even with very frequent heartbeats."""

IDENTIFY_PERIOD: Final = 5.5
"""Between two identifies of one bucket. Discord counts 5 s; the rest is for delays in transit."""
IDENTIFY_TOTAL: Final = 1000
"""Identifies in `IDENTIFY_RESET` unless the server says otherwise. One more resets the bot's token."""
IDENTIFY_RESET: Final = 86_400.0

INVALID_SESSION_WAIT: Final = (1.0, 5.0)
"""After a refused session a random time between these passes before the next Identify."""

MIN_HEARTBEAT_INTERVAL: Final = 0.02
"""A lower bound against a server that asks for very frequent heartbeats (Discord: 41.25 s)."""
MAX_HEARTBEAT_INTERVAL: Final = 3600.0
HEARTBEAT_LATE_TOLERANCE: Final = 1.0
"""Seconds of delay after which a heartbeat was held up by the event loop, and the last ACK may be, too."""

LARGE_THRESHOLD: Final = (50, 250)
"""Bounds of `large_threshold`: in larger guilds GUILD_CREATE leaves the offline members out."""

MAX_CONTENT_LENGTH: Final = 2000
"""Characters of one message."""

NONCE_LIMIT: Final = 32
"""Bytes of a nonce; a longer one is ignored by Discord, so that answers could not be told apart."""
USER_IDS_LIMIT: Final = 100
"""Ids in one request for members."""

MAX_SKIPPED_SEQUENCES: Final = 1024
"""Skipped sequence numbers that are remembered, so that a late dispatch is not taken for a duplicate."""

RESUMABLE_CLOSE_CODE: Final = 4000
"""The close code of this side before a resume: 1000 and 1001 would end the session; others keep it for minutes.

Codes below it end the session on purpose, or name a message that can't be handled and that a resume would repeat.
"""
