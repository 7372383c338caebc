"""The gateway's numbers, each with its reason. Seconds and bytes."""

from __future__ import annotations

from typing import Final

API_VERSION: Final = 10

PAYLOAD_LIMIT: Final = 4096
"""Bytes of one payload that we send; a larger one is answered with 4002."""

SEND_LIMIT: Final = 120
"""Payloads of ours on one connection within `SEND_WINDOW`, heartbeats included; beyond it: 4008."""
SEND_WINDOW: Final = 61.0
"""Discord counts 60 s. The one more: a payload that was late on its way makes the next ones seem close to it."""
MIN_SENDS: Final = 30
"""Even if the server wants very many heartbeats, so many places of a window are the application's."""

IDENTIFY_PERIOD: Final = 5.5
"""Between two identifies of one bucket. Discord counts 5 s; the rest, again, is for the way."""
IDENTIFY_TOTAL: Final = 1000
"""Identifies in `IDENTIFY_RESET` unless the server says otherwise. One more resets the bot's token."""
IDENTIFY_RESET: Final = 86_400.0

INVALID_SESSION_WAIT: Final = (1.0, 5.0)
"""After a refused session a random time between these passes before the next Identify."""

MIN_HEARTBEAT_INTERVAL: Final = 0.02
"""A server that asks for more frequent ones (Discord: 41.25 s) would only keep us busy."""
MAX_HEARTBEAT_INTERVAL: Final = 3600.0
HEARTBEAT_LATE_TOLERANCE: Final = 1.0
"""Seconds after its time; a beat that is later was kept back by the event loop, and so may be the last one's answer."""

LARGE_THRESHOLD: Final = (50, 250)
"""Bounds of `large_threshold`: in larger guilds GUILD_CREATE leaves the offline members out."""

NONCE_LIMIT: Final = 32
"""Bytes of a nonce; a longer one is ignored by Discord, so that no answer could be told from another."""
USER_IDS_LIMIT: Final = 100
"""Ids in one request for members."""

MAX_SKIPPED_SEQUENCES: Final = 1024
"""So many skipped sequence numbers are remembered: what comes late is then no duplicate."""

RESUMABLE_CLOSE_CODE: Final = 4000
"""Our code when we mean to resume: 1000 and 1001 would end the session; after others it's kept for a few minutes.

Anything below is a goodbye, or names a message that we couldn't take and that a resume would only bring again.
"""
