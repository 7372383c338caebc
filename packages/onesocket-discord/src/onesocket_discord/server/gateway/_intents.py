"""The intents that the gateway itself has to know."""

from __future__ import annotations

from typing import Final

GUILDS: Final = 1 << 0
GUILD_MEMBERS: Final = 1 << 1
GUILD_PRESENCES: Final = 1 << 8
MESSAGE_CONTENT: Final = 1 << 15
