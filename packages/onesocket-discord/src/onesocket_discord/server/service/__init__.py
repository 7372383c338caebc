"""The operations of people and bots, and the events that they cause."""

from ._accounts import Registration
from ._chat_service import ChatService
from ._logins import LOGIN_LIFETIME
from ._passwords import PasswordService

__all__ = ["LOGIN_LIFETIME", "ChatService", "PasswordService", "Registration"]
