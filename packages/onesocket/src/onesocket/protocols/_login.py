"""A login made of messages: the request, and the answers that accept or refuse it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._record import record
from ..errors import InvalidOption, LoginRefused, OnesocketError
from ._plain_function import is_plain_function, kind_of


@record(kw_only=True)
class Login:
    """A login between *open* and *ready*, described by functions of messages.

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
    """True for the message that accepts the login; None: no answer is awaited."""
    refused: Callable[[Any], str | OnesocketError | None] | None = None
    """Reason of a message that refuses the login (a text, or an error such as `ServerBusy`), or None for others."""

    def __post_init__(self) -> None:
        for name in ("request", "ready", "refused"):
            function: object = getattr(self, name)
            if function is not None and not is_plain_function(function):
                raise InvalidOption(f"Login: {name} must be a plain function or None, not {kind_of(function)}")

    def refusal(self, message: Any) -> OnesocketError | None:
        """Return the typed error if `message` refuses the login."""
        why = self.refused(message) if self.refused is not None else None
        if why is None or isinstance(why, OnesocketError):
            return why
        return LoginRefused(f"the login was refused: {why}")
