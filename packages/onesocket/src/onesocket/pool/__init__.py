"""More keys than one connection holds: a pool of connections behind one handle."""

from ._pool import Pool
from ._pool_status import PoolStatus

__all__ = ["Pool", "PoolStatus"]
