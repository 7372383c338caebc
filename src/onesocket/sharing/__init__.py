"""One upstream for many tasks, threads, event loops and processes."""

from .errors import ForkedCopy, OptionConflict
from .join import Joining, join
from .link import Link
from .registry import offer_loop

__all__ = ["ForkedCopy", "Joining", "Link", "OptionConflict", "join", "offer_loop"]
