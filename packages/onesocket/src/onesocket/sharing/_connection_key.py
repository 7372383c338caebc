"""The key of a shared connection: address and identity, by which requests mean the same one."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..client._identity_token import IdentityToken
from ..client._options import Token
from ..errors import InvalidOption
from ..urls import CLIENT_SCHEMES, Address, parse_url, redact


@dataclass(frozen=True, slots=True)
class ConnectionKey:
    """Equal keys mean one connection. It holds no token: only a digest of it."""

    url: str = field(repr=False)
    """Normalised, without user info. Its query may hold a secret."""
    identity: Hashable = field(repr=False)
    """The account: a digest of the token, the token source itself, or the `key=` of the caller."""
    user_info: str | None = field(default=None, repr=False, compare=False)
    """A digest of the user info; where `key=` names the identity, all have to agree on it, and on ..."""
    provider_identity: str | None = field(default=None, repr=False, compare=False)
    """... a digest of the provider's identity, if the token is that of a provider."""
    is_named: bool = field(default=False, repr=False, compare=False)
    """True if a `key=` names the identity."""

    @classmethod
    def of(cls, url: str, *, key: str | None = None, token: Token | None = None) -> ConnectionKey:
        """The key of a request; raises `InvalidURL` or `InvalidOption`."""
        if key is not None and not _is_nonempty_str(key):
            raise InvalidOption("key must be a str that names the identity, and not empty")
        if not (token is None or isinstance(token, str) or callable(token)):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidOption(f"token must be a str or a callable, not {type(token).__name__}")
        if callable(url):
            raise InvalidOption(
                "the URL of a shared connection is a part of its key, so it can't be a function: give a URL that names "
                "the feed, and client_factory=lambda: Client(function)"
            )
        address = parse_url(url, schemes=CLIENT_SCHEMES)
        identity: Hashable
        user_info = secret_digest(address.authorization)
        if key is not None:
            identity = ("key", key)
        elif isinstance(token, IdentityToken):
            identity = ("identity", secret_digest(token.key))
        elif callable(token):
            identity = _CallableIdentity(token)
        else:
            identity = ("token", None if token is None else secret_digest(token), user_info)
        holder = secret_digest(token.key) if isinstance(token, IdentityToken) else None
        return cls(_normalized(address), identity, user_info, holder, is_named=key is not None)

    def __str__(self) -> str:
        return redact(self.url)

    @property
    def name(self) -> str | None:
        """The `key=` of the caller; None: the identity is another."""
        identity: Any = self.identity
        return str(identity[1]) if self.is_named else None

    @property
    def crosses_processes(self) -> bool:
        """True if another process can make the same key: not from a function, which lives in this one."""
        return not isinstance(self.identity, _CallableIdentity)

    def digest(self) -> str:
        """64 hexadecimal digits, the same in every process; raises `InvalidOption` where there can be none."""
        if not self.crosses_processes:
            raise InvalidOption(
                "processes can't tell whether their token sources mean the same identity: pass key='a name for it'"
            )
        return hashlib.sha256(repr((self.url, self.identity)).encode()).hexdigest()


def _normalized(address: Address) -> str:
    if address.unix_path:
        return address.url
    parts = urlsplit(address.url)
    return urlunsplit((parts.scheme, address.authority.lower(), parts.path, parts.query, ""))


class _CallableIdentity:
    """A function, compared as itself: bound methods are equal if function and object are; nothing else has to hash."""

    __slots__ = ("function",)

    def __init__(self, function: object) -> None:
        self.function = function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _CallableIdentity) and _object_ids(self.function) == _object_ids(other.function)

    def __hash__(self) -> int:
        return hash(_object_ids(self.function))


def _is_nonempty_str(value: object) -> bool:
    return isinstance(value, str) and value != ""


def secret_digest(secret: str | None) -> str | None:
    """A secret, made comparable."""
    return None if secret is None else hashlib.sha256(b"onesocket " + secret.encode()).hexdigest()


def _object_ids(function: object) -> tuple[int, int]:
    return id(getattr(function, "__func__", function)), id(getattr(function, "__self__", None))
