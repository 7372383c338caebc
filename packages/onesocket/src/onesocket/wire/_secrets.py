"""Masks secrets in text of a peer, which may have echoed the request."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

# Characters. Anything shorter is no secret, and masking each occurrence would make the text unreadable.
_MIN_LENGTH: Final = 5
# The same of a part of a header's value.
_MIN_PART_LENGTH: Final = 16
_PUBLIC_HEADERS: Final = ("host", "user-agent")
_SEPARATORS: Final = re.compile(r'[\s;,="&]+')
# As in JSON, percent-encoded, and as in HTML; the first two also one within another. "+" may stand for a space.
_HEX: Final = "[0-9a-fA-F]"
_ESCAPE: Final = re.compile(rf"\\+u({_HEX}{{4}})|((?:%(?:25)*{_HEX}{{2}})+)|(&#?\w{{1,8}};)|\\+|(\+)")


class Secrets:
    """Secrets of at least 5 characters, which are found in a text also where it escapes some of their characters."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= _MIN_LENGTH}
        plain = {text for text in map(_without_escapes, known) if len(text) >= _MIN_LENGTH}
        self._secrets = sorted(known, key=len, reverse=True)
        self._plain = sorted(plain, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"<Secrets {len(self._secrets)}>"

    def mask(self, text: str) -> str:
        """Replace every secret in `text` by ``***``, the longest first."""
        plain = _without_escapes(text)
        if any(secret in plain for secret in self._plain):
            text = self._mask_escaped(text, plain)
        for secret in self._secrets:  # what looks like an escape may be a part of one
            text = text.replace(secret, "***")
        return text

    def are_in(self, data: bytes) -> bool:
        """Return True if this holds a secret, in UTF-8."""
        text = data.decode(errors="replace")
        return self.mask(text) != text

    def _mask_escaped(self, text: str, plain: str) -> str:
        # For each character of `plain`: where it begins and ends in `text`.
        places: list[tuple[int, int]] = []
        end = 0
        for escape in _ESCAPE.finditer(text):
            places += [(place, place + 1) for place in range(end, escape.start())]
            places += [escape.span()] * len(_unescape(escape))
            end = escape.end()
        places += [(place, place + 1) for place in range(end, len(text))]
        shown: list[str] = []
        end = 0
        for found in re.finditer("|".join(map(re.escape, self._plain)), plain):
            shown += text[end : places[found.start()][0]], "***"
            end = places[found.end() - 1][1]
        return "".join((*shown, text[end:]))


def _without_escapes(text: str) -> str:
    return _ESCAPE.sub(_unescape, text) if any(begin in text for begin in "\\%&+") else text


def _unescape(escape: re.Match[str]) -> str:
    code, percent, entity, plus = escape.groups()
    if code:
        found = chr(int(code, 16))
    elif percent:
        found = unquote(re.sub(f"%(?:25)+(?={_HEX}{{2}})", "%", percent), errors="replace")
    elif entity:
        import html  # noqa: PLC0415 - its table of names takes 2 ms, and few texts hold one

        found = html.unescape(entity)
    else:
        found = plus or ""
    return found.replace("+", " ").replace("\\", "")


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret of at least 5 characters in `text` by ``***``, as `Secrets.mask`."""
    return Secrets(secrets).mask(text)


def header_secrets(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Return the values of all headers but those that are no secret: `Host` and `User-Agent`."""
    return [value for name, value in headers if name.lower() not in _PUBLIC_HEADERS]


def request_secrets(url: str, headers: Iterable[tuple[str, str]]) -> set[str]:
    """Return the confidential parts of a request: header values and their longer parts, query values and user info."""
    values = header_secrets(headers)
    query = urlsplit(url).query
    found = {*values, *(value.partition(" ")[2] for value in values)}
    found |= {part for value in values for part in _parts(value) if len(part) >= _MIN_PART_LENGTH}
    found |= {value for _, value in parse_qsl(query)}
    pairs = query.split("&")
    found |= {pair.partition("=")[2] for pair in pairs}
    found |= {pair for pair in pairs if "=" not in pair and len(pair) >= _MIN_PART_LENGTH}
    for scheme, _, encoded in (value.partition(" ") for value in values):
        if scheme.lower() == "basic":
            found |= _user_info(encoded)
    return found


def _parts(value: str) -> list[str]:
    """The words of a header's value, and the values of its cookies or parameters."""
    return [*_SEPARATORS.split(value), *(pair.partition("=")[2] for pair in value.split(";"))]


def _user_info(encoded: str) -> set[str]:
    try:
        return set(base64.b64decode(encoded).decode().split(":", 1))
    except ValueError:
        return set()
