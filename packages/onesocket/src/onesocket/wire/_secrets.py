"""Masks secrets in text of a peer, which may have echoed the request."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

# Characters. Anything shorter is no secret, and masking each occurrence would make the text unreadable.
_MIN_LENGTH: Final = 5
_PUBLIC_HEADERS: Final = ("host", "user-agent")


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret of at least 5 characters in `text` by ``***``, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _MIN_LENGTH:
            text = text.replace(secret, "***")
    return text


def header_secrets(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Return the values of all headers but those that are no secret: `Host` and `User-Agent`."""
    return [value for name, value in headers if name.lower() not in _PUBLIC_HEADERS]


def request_secrets(url: str, headers: Iterable[tuple[str, str]]) -> set[str]:
    """Return the confidential parts of a request: header values, query values and user info."""
    values = header_secrets(headers)
    query = urlsplit(url).query
    found = {*values, *(value.partition(" ")[2] for value in values)}
    found |= {value for _, value in parse_qsl(query)} | {pair.partition("=")[2] for pair in query.split("&")}
    for scheme, _, encoded in (value.partition(" ") for value in values):
        if scheme.lower() == "basic":
            found |= _user_info(encoded)
    return found


def encoded_forms(secrets: Iterable[str]) -> set[str]:
    """Return the secrets as they are, and percent-encoded in both ways."""
    return {form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))}


def _user_info(encoded: str) -> set[str]:
    try:
        return set(base64.b64decode(encoded).decode().split(":", 1))
    except ValueError:
        return set()
