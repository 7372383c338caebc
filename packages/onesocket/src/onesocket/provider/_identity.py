"""The identity that is signed in."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..client._options import check_token
from ..errors import OnesocketError, TokenFailed


@dataclass(frozen=True, slots=True)
class Identity:
    """A signed-in identity: `key` stays the same when the token is renewed; no repr shows the `token`."""

    key: str
    token: str = field(repr=False)


AuthAnswer = Identity | str | None
Auth = (
    Callable[[], AuthAnswer]
    | Callable[[], Awaitable[AuthAnswer]]
    | Callable[[str | None, OnesocketError | None], AuthAnswer]
    | Callable[[str | None, OnesocketError | None], Awaitable[AuthAnswer]]
)


def as_identity(value: object) -> Identity | None:
    """Check the value that auth returned; raises `TokenFailed`, which never shows the value."""
    if value is None:
        return None
    if isinstance(value, Identity):
        check_token(value.token)
        return value
    if not isinstance(value, str):
        raise TokenFailed(f"an identity must be an Identity, a str or None, not {type(value).__name__}")
    token = check_token(value)
    # A bare token is its own identity. Keys are shown, so the key is a digest.
    return Identity("sha256:" + hashlib.sha256(token.encode()).hexdigest(), token)
