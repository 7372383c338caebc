"""The intents that the gateway itself has to know."""

from __future__ import annotations

from typing import Final

GUILDS: Final = 1 << 0
GUILD_MEMBERS: Final = 1 << 1
GUILD_PRESENCES: Final = 1 << 8
MESSAGE_CONTENT: Final = 1 << 15
ALL: Final = sum(1 << bit for bit in (*range(17), 20, 21, 24, 25))
"""Every bit that is documented; others are refused with 4013."""
