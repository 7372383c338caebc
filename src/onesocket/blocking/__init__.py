"""Shared connections for code without asyncio: ``with onesocket.blocking.join(url) as link: …``."""

from .join import join
from .link import Link
from .stream import Subscription

__all__ = ["Link", "Subscription", "join"]
