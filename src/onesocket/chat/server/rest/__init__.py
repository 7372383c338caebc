"""HTTP: the part of Discord's REST v10 that clients and bots use."""

from .answers import rate_limited, refuse
from .app import Hook, make_app
from .limits import Limit, Limiter

__all__ = ["Hook", "Limit", "Limiter", "make_app", "rate_limited", "refuse"]
