"""HTTP: the part of Discord's REST v10 that clients and bots use."""

from ._app import RequestHook, make_app
from ._connection_limiter import HttpConnectionLimiter
from ._origin_check import is_address, reject_foreign_origins
from ._rate_limiter import RateLimit, RateLimiter
from ._responses import error_response, scripted_rate_limit_response
from ._trusted_proxies import TrustedProxies

__all__ = [
    "HttpConnectionLimiter",
    "RateLimit",
    "RateLimiter",
    "RequestHook",
    "TrustedProxies",
    "error_response",
    "is_address",
    "make_app",
    "reject_foreign_origins",
    "scripted_rate_limit_response",
]
