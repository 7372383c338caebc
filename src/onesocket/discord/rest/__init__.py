"""A small companion for Discord's HTTP API: typed errors, and every rate limit kept.

Needs the extra `discord`: ``pip install "onesocket[discord]"``.
"""

from .accounts import Accounts, Login
from .caller import API_URL
from .errors import (
    BadAnswer,
    Forbidden,
    InvalidBudgetSpent,
    NotFound,
    RateLimited,
    RequestLost,
    RestError,
    RestTimeout,
    ServerTrouble,
    TooManyWaiting,
    Unauthorized,
)
from .invalid_budget import InvalidBudget
from .rest import Rest

__all__ = [
    "API_URL",
    "Accounts",
    "BadAnswer",
    "Forbidden",
    "InvalidBudget",
    "InvalidBudgetSpent",
    "Login",
    "NotFound",
    "RateLimited",
    "RequestLost",
    "Rest",
    "RestError",
    "RestTimeout",
    "ServerTrouble",
    "TooManyWaiting",
    "Unauthorized",
]
