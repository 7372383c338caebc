"""Types that protocols and transports share: messages, the request of an attempt, and its result."""

from __future__ import annotations

import ssl as ssl_module
from dataclasses import field
from typing import Literal

from .._record import record
from .._version import __version__
from ..errors import InvalidOption
from ..urls import CLIENT_SCHEMES, Address, parse_url, redact
from ._header_fields import HEADER_RULE, header_values, is_header_value, is_token
from ._secrets import mask_secrets, request_secrets

Data = str | bytes
"""A whole message: text is `str`, binary is `bytes`."""


def size_of(data: Data) -> int:
    """Return the bytes on the wire, without the frame's header."""
    return len(data) if isinstance(data, bytes) else len(data.encode())


class ByteCounts:
    """Counters of the bytes of frames; a transport that is given one with a request adds what it reads and writes."""

    __slots__ = ("is_counting", "received", "sent")

    def __init__(self) -> None:
        self.is_counting = False
        """True once a transport counts."""
        self.received = 0
        self.sent = 0

    def __repr__(self) -> str:
        return f"<ByteCounts received={self.received} sent={self.sent}>"


@record
class DialRequest:
    """The parameters of one connection attempt. Its repr shows no header value and no query value.

    Raises `InvalidOption` for a header or sub-protocol that would break the request, or smuggle another header into it.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    ssl: ssl_module.SSLContext | None = None
    proxy: str | Literal[True] | None = None
    """The URL of a proxy; True: the one that the environment has for `url`; None: no proxy."""
    server_hostname: str | None = None
    """The name for SNI and the server's certificate; None: that of `url`."""
    local_address: str | None = None
    """The IP address to connect from; None: the system chooses it."""
    max_size: int | None = None
    """Bytes of one message, all its fragments together; None: no limit."""
    close_timeout: float = 10.0
    """Seconds for the orderly end of the layers below (TLS close_notify)."""
    byte_counts: ByteCounts | None = field(default=None, repr=False, compare=False)
    """Counters to add the bytes of frames to; None: nothing asks for them."""
    secrets: tuple[str, ...] = field(default=())
    """Secrets that must not appear in any error, even if the server echoes them."""
    _addresses: list[Address] = field(default_factory=list[Address], init=False, repr=False, compare=False)
    """The parsed `url`, once it was asked for."""

    def __post_init__(self) -> None:
        for name, value in self.headers:
            if not is_token(name) or not is_header_value(value):
                raise InvalidOption(f"the header {name!r} of the upgrade request can't be sent: {HEADER_RULE}")
        for name in self.subprotocols:
            if not is_token(name):
                raise InvalidOption(f"{name!r} is not a sub-protocol name (RFC 6455, section 4.1)")

    @property
    def address(self) -> Address:
        """The parsed `url`; raises `InvalidURL`."""
        if not self._addresses:
            self._addresses.append(parse_url(self.url, schemes=CLIENT_SCHEMES))
        return self._addresses[0]

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.headers)
        return f"<DialRequest {redact(self.url)} headers=[{names}] subprotocols={list(self.subprotocols)}>"

    def scrub(self, text: str) -> str:
        """Return `text`, which the server wrote, with the secrets of this request masked in every encoding."""
        return mask_secrets(text, {*self.secrets, *request_secrets(self.url, self.headers)})


def upgrade_headers(request: DialRequest) -> tuple[tuple[str, str], ...]:
    """Return the headers of the upgrade request, with a User-Agent (RFC 9110, 10.1.5), without those of the handshake.

    Some servers, and most CDNs, refuse requests without a User-Agent.
    """
    if any(name.lower() == "user-agent" for name, _ in request.headers):
        return request.headers
    return (("User-Agent", f"onesocket/{__version__}"), *request.headers)


@record
class Handshake:
    """The result of an upgrade: the chosen sub-protocol and the headers of the response (names in lower case)."""

    subprotocol: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def header(self, name: str) -> str | None:
        """Return the value of the first header with this name, in any case of letters; None: there is none."""
        return next(iter(header_values(self.headers, name.lower())), None)
