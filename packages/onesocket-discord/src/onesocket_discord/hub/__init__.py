"""``onesocket share --discord``: any number of bots' processes, one gateway session."""

from ._command import make_hub
from ._frontend import DiscordFrontend

__all__ = ["DiscordFrontend", "make_hub"]
