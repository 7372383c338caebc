"""What people and bots may do, and what others are told of it."""

from .logins import LIFETIME
from .passwords import Passwords
from .service import Service

__all__ = ["LIFETIME", "Passwords", "Service"]
