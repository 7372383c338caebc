"""A small client for Discord's HTTP API: typed errors, and every rate limit kept."""

from ..protocol._api import API_URL
from ._accounts import Accounts, Login
from ._errors import (
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
from ._invalid_budget import InvalidBudget
from ._rest import Rest

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
