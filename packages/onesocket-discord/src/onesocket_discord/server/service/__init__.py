"""What people and bots may do, and what others are told of it."""

from ._chat_service import ChatService
from ._logins import LOGIN_LIFETIME
from ._passwords import PasswordService

__all__ = ["LOGIN_LIFETIME", "ChatService", "PasswordService"]
