"""Header fields of HTTP (RFC 9110, section 5): the rules for names and values, and lists of tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeGuard

Headers = tuple[tuple[str, str], ...]
"""Names and values in the order of the message."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
HEADER_RULE: Final = "its name must be a token (RFC 9110, section 5.1), its value visible ASCII characters and spaces"
# Visible ASCII characters and spaces: no line break, so no header can be smuggled in.
_SENT_VALUE: Final = re.compile(r"[ -~]*")


def is_token(text: object) -> TypeGuard[str]:
    """Return True for a token (RFC 9110, section 5.6.2), as names of headers and of sub-protocols are."""
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None


def is_header_value(value: object) -> TypeGuard[str]:
    """Return True if `value` can be sent as the value of a header."""
    return isinstance(value, str) and _SENT_VALUE.fullmatch(value) is not None


def header_values(headers: Iterable[tuple[str, str]], wanted: str) -> list[str]:
    """Return the values of all headers with the name `wanted`, which is in lower case like those of `headers`."""
    return [value for name, value in headers if name == wanted]


def header_tokens(values: Iterable[str]) -> list[str]:
    """Return the tokens of a list header (RFC 9110, section 5.6.1) from all its lines, in lower case."""
    return [token.strip(" \t").lower() for value in values for token in value.split(",")]
