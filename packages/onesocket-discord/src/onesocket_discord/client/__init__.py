"""A bot's connection to Discord's gateway on asyncio."""

from ._client import DiscordClient
from ._guild_members import Members

__all__ = ["DiscordClient", "Members"]
