"""HTTP: the part of Discord's REST v10 that clients and bots use."""

from .._trusted_proxies import TrustedProxies
from .._window_table import RateLimit
from ._app import RequestHook, make_app
from ._connection_limiter import IDLE_TIMEOUT, HttpConnectionLimiter
from ._origin_check import OriginPolicy, is_address
from ._page import StaticPage
from ._rate_limiter import RateLimiter
from ._responses import error_response, scripted_rate_limit_response
from ._upgrade_head import asks_for_upgrade

__all__ = [
    "IDLE_TIMEOUT",
    "HttpConnectionLimiter",
    "OriginPolicy",
    "RateLimit",
    "RateLimiter",
    "RequestHook",
    "StaticPage",
    "TrustedProxies",
    "asks_for_upgrade",
    "error_response",
    "is_address",
    "make_app",
    "scripted_rate_limit_response",
]
