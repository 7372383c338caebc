"""What people and bots may do, and what others are told of it."""

from .passwords import Passwords
from .service import Service

__all__ = ["Passwords", "Service"]
