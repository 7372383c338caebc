"""The address of Discord's HTTP API, and the User-Agent that it requires."""

from __future__ import annotations

from typing import Final

from onesocket._version import __version__

API_URL: Final = "https://discord.com/api/v10"
USER_AGENT: Final = f"DiscordBot (onesocket, {__version__})"
"""The form that Discord asks for; without it, its edge refuses requests."""
