"""Shared connections for code without asyncio: ``with onesocket.blocking.join(url) as client: …``."""

from ._join import join
from ._shared_client import SharedClient
from ._subscription import Subscription

__all__ = ["SharedClient", "Subscription", "join"]
