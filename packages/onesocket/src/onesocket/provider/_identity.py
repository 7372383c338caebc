"""Who is signed in."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..client._options import check_token
from ..errors import TokenFailed


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is signed in: a `key` that stays the same when the token is renewed, and the token, which no repr shows."""

    key: str
    token: str = field(repr=False)


AuthAnswer = Identity | str | None
Auth = Callable[[], AuthAnswer] | Callable[[], Awaitable[AuthAnswer]]


def as_identity(value: object) -> Identity | None:
    """What auth answered, checked; raises `TokenFailed`, which never shows it."""
    if value is None:
        return None
    if isinstance(value, Identity):
        check_token(value.token)
        return value
    if not isinstance(value, str):
        raise TokenFailed(f"an identity must be an Identity, a str or None, not {type(value).__name__}")
    token = check_token(value)
    # A bare token is its own identity. The key may end up anywhere a key is shown, so it isn't the token.
    return Identity("sha256:" + hashlib.sha256(token.encode()).hexdigest(), token)
