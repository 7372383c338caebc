"""The negotiation of permessage-deflate (RFC 7692, sections 5 and 7.1), for both sides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import InvalidHandshake
from ._deflate import MAX_WINDOW_BITS, Deflater, Inflater

_EXTENSION: Final = "permessage-deflate"
OFFER: Final = f"{_EXTENSION}; client_max_window_bits"
"""The value of Sec-WebSocket-Extensions in a client's request: every answer to it is supported."""

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SPACE: Final = r"[ \t]*"
_NAME: Final = re.compile(f"{_SPACE}({_WORD}){_SPACE}")
_PARAMETER: Final = re.compile(
    rf""";{_SPACE}({_WORD}){_SPACE}(?:={_SPACE}(?:({_WORD})|"((?:[^"\\]|\\.)*)"){_SPACE})?"""
)
_NO_ELEMENT: Final = re.compile(rf"{_SPACE}(?:,{_SPACE})*")
_BITS: Final = {str(bits): bits for bits in range(8, MAX_WINDOW_BITS + 1)}

Extension = tuple[str, Sequence[tuple[str, str | None]]]
"""A name, and its parameters in order; None: a parameter without a value."""


class _UnsupportedParameters(Exception):
    """Parameters that RFC 7692 doesn't define, or not so; the text names the first one."""


@dataclass(frozen=True, slots=True)
class DeflateParameters:
    """The agreed parameters (section 7.1); None: not mentioned, so the largest window, 15 bits. `str()`: the header."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None

    def __str__(self) -> str:
        parts = [_EXTENSION]
        parts += ["server_no_context_takeover"] * self.server_no_context_takeover
        parts += ["client_no_context_takeover"] * self.client_no_context_takeover
        for name in ("server_max_window_bits", "client_max_window_bits"):
            bits = getattr(self, name)
            parts += [] if bits is None else [f"{name}={bits}"]
        return "; ".join(parts)

    def inflater(self, *, is_client: bool, max_size: int | None) -> Inflater:
        """Return the decompressor for the messages of the peer."""
        bits, context_takeover = self._of(is_server=is_client)
        return Inflater(bits, context_takeover=context_takeover, max_size=max_size)

    def deflater(self, *, is_client: bool) -> Deflater:
        """Return the compressor for own messages."""
        bits, context_takeover = self._of(is_server=not is_client)
        return Deflater(bits, context_takeover=context_takeover)

    def _of(self, *, is_server: bool) -> tuple[int, bool]:
        if is_server:
            return self.server_max_window_bits or MAX_WINDOW_BITS, not self.server_no_context_takeover
        return self.client_max_window_bits or MAX_WINDOW_BITS, not self.client_no_context_takeover


_NO_LIMITS: Final = DeflateParameters()


def read_answer(values: Iterable[str]) -> DeflateParameters | None:
    """Return the parameters of the server's answer to `OFFER`; None: the server declined.

    `values`: the lines of Sec-WebSocket-Extensions. Raises `InvalidHandshake` for an answer that `OFFER` doesn't allow.
    """
    extensions = parse_extensions(values)
    if not extensions:
        return None
    for name, _ in extensions:
        if name != _EXTENSION:
            raise InvalidHandshake(f"the server switched on an extension that was not offered: {name}")
    if len(extensions) > 1:
        raise InvalidHandshake(f"the server switched on {_EXTENSION} {len(extensions)} times")
    try:
        return _read_parameters(extensions[0][1], is_answer=True)
    except _UnsupportedParameters as error:
        raise InvalidHandshake(f"the server's answer to {_EXTENSION} has {error}") from None


def choose_offer(values: Iterable[str], own: DeflateParameters = _NO_LIMITS) -> DeflateParameters | None:
    """Return a server's answer to the first offer of a client that is supported; None: there is none.

    `values`: the lines of Sec-WebSocket-Extensions. `own`: limits that the server wishes for; that of the client's
    window needs an offer that allows it. Raises `InvalidHandshake` for a malformed header.
    """
    for name, parameters in parse_extensions(values):
        if name != _EXTENSION:
            continue
        try:
            offer = _read_parameters(parameters, is_answer=False)
        except _UnsupportedParameters:
            continue
        client_bits = offer.client_max_window_bits
        return DeflateParameters(
            offer.server_no_context_takeover or own.server_no_context_takeover,
            offer.client_no_context_takeover or own.client_no_context_takeover,
            _smaller(offer.server_max_window_bits, own.server_max_window_bits),
            None if client_bits is None else _smaller(client_bits, own.client_max_window_bits),
        )
    return None


def parse_extensions(values: Iterable[str]) -> list[Extension]:
    """Parse the lines of Sec-WebSocket-Extensions (RFC 6455, section 9.1). Raises `InvalidHandshake`."""
    found: list[Extension] = []
    for value in values:
        place = _end_of(_NO_ELEMENT, value, 0)
        while place < len(value):
            name = _NAME.match(value, place)
            if name is None:
                raise InvalidHandshake("the header Sec-WebSocket-Extensions is malformed")
            place = name.end()
            parameters: list[tuple[str, str | None]] = []
            while (parameter := _PARAMETER.match(value, place)) is not None:
                place = parameter.end()
                quoted = parameter[3]
                parameters.append((parameter[1], parameter[2] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)))
            if place < len(value) and value[place] != ",":
                raise InvalidHandshake("the header Sec-WebSocket-Extensions is malformed")
            found.append((name[1], parameters))
            place = _end_of(_NO_ELEMENT, value, place)
    return found


def _end_of(pattern: re.Pattern[str], text: str, place: int) -> int:
    match = pattern.match(text, place)
    return place if match is None else match.end()


def _read_parameters(parameters: Sequence[tuple[str, str | None]], *, is_answer: bool) -> DeflateParameters:
    """Parse parameters. In an offer alone, `client_max_window_bits` needs no value (section 7.1.2.2): 0 here."""
    found: dict[str, int] = {}
    for name, value in parameters:
        if name in found:
            raise _UnsupportedParameters(f"the parameter {name} twice")
        match name:
            case "server_no_context_takeover" | "client_no_context_takeover" if value is None:
                found[name] = 1
            case "client_max_window_bits" if value is None and not is_answer:
                found[name] = 0
            case "server_max_window_bits" | "client_max_window_bits" if value in _BITS:
                found[name] = _BITS[value]
            case _:
                shown = name if value is None else f"{name}={value[:40]}"
                raise _UnsupportedParameters(f"an unknown parameter or value: {shown}")
    return DeflateParameters(
        "server_no_context_takeover" in found,
        "client_no_context_takeover" in found,
        found.get("server_max_window_bits"),
        found.get("client_max_window_bits"),
    )


def _smaller(one: int | None, other: int | None) -> int | None:
    return min(filter(None, (one, other)), default=None)
