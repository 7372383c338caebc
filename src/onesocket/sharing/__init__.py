"""One upstream for many tasks, threads, event loops and processes."""

from .errors import ForkedCopy, OptionConflict
from .join import join
from .link import Link
from .registry import offer_loop

__all__ = ["ForkedCopy", "Link", "OptionConflict", "join", "offer_loop"]
