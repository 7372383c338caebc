"""HTTP: the part of Discord's REST v10 that clients and bots use."""

from .answers import refuse, scripted_limit
from .app import Hook, make_app
from .connections import Connections
from .limits import Limit, Limiter
from .pages import is_address, refuse_pages
from .proxies import Proxies

__all__ = [
    "Connections",
    "Hook",
    "Limit",
    "Limiter",
    "Proxies",
    "is_address",
    "make_app",
    "refuse",
    "refuse_pages",
    "scripted_limit",
]
