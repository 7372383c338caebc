"""The head of an HTTP response (RFC 9112, sections 4 and 5): its status and its headers, however it is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ._header_fields import Headers, is_token

MAX_HEAD: Final = 65_536
"""Bytes of a head, interim responses included; servers that set many cookies send tens of thousands."""
HTTP_PREFIX: Final = b"HTTP/"
HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE: Final = re.compile(r"HTTP/(\d(?:\.\d)?)[ \t]+(\d{3})(?:[ \t].*)?")
# A header that goes on in the next line (RFC 9112, section 5.2).
_FOLD: Final = re.compile(r"\r?\n[ \t]+")
_NOT_IN_A_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A parsed head; header names in lower case, in the order of the response."""

    version: str
    status: int
    headers: Headers
    is_valid: bool
    """False if a header of it is malformed."""

    @classmethod
    def parse(cls, head: bytes) -> ResponseHead | None:
        """Parse a head without its empty line; None: its first line is no status line."""
        first, _, rest = head.decode("latin-1").partition("\n")
        status = _STATUS_LINE.fullmatch(first.removesuffix("\r"))
        if status is None or int(status[2]) < 100:
            return None
        headers, is_valid = _parse_headers(_FOLD.sub(" ", rest))
        return cls(status[1], int(status[2]), headers, is_valid)


def _parse_headers(text: str) -> tuple[Headers, bool]:
    """Return the headers, and whether every line is valid."""
    headers: list[tuple[str, str]] = []
    is_valid = True
    for line in text.split("\n") if text else ():
        name, colon, value = line.removesuffix("\r").partition(":")
        value = value.strip(" \t")
        if colon and is_token(name) and not _NOT_IN_A_VALUE.search(value):
            headers.append((name.lower(), value))
        else:
            is_valid = False
    return tuple(headers), is_valid
