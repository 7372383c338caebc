"""``onesocket share --discord``: any number of bots' processes, one gateway session."""

from .desk import DiscordDesk

__all__ = ["DiscordDesk"]
