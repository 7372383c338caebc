"""Connections that need a signed-in identity: opened at sign-in, closed at sign-out, with notices for the user."""

from ._current import current_provider, use
from ._identity import Identity
from ._provider import Provider
from ._status import ProviderStatus

__all__ = ["Identity", "Provider", "ProviderStatus", "current_provider", "use"]
