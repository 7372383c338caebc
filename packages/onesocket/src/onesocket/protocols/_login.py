"""A login in messages: what to send when the socket opens, and which answer means yes, no, or not yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import LoginRefused, OnesocketError


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The phase between *open* and *ready*, for protocols whose messages are enough to describe it.

    >>> Login(
    ...     request=lambda token: {"action": "auth", "key": token},
    ...     ready=lambda message: message.get("status") == "authorized",
    ...     refused=lambda message: message.get("error"),
    ... )  # doctest: +ELLIPSIS
    Login(...)
    """

    request: Callable[[str | None], Any] | None = None
    """The first message, made from the token; None: the server speaks first."""
    ready: Callable[[Any], bool] | None = None
    """True if this message says that we are in; None: nothing to wait for."""
    refused: Callable[[Any], str | OnesocketError | None] | None = None
    """Why this message says no (a text, or an error such as `ServerBusy`), or None when it doesn't."""

    def refusal(self, message: Any) -> OnesocketError | None:
        """The typed error, if `message` says no."""
        why = self.refused(message) if self.refused is not None else None
        if why is None or isinstance(why, OnesocketError):
            return why
        return LoginRefused(f"the login was refused: {why}")
