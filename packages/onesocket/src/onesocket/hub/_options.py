"""The options of a hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from ..client._options import check_seconds
from ..errors import InvalidOption
from ..wire._header_fields import is_header_value
from ._endpoint import Endpoint

OnLoss = Literal["keep", "close"]


def _is_origin(text: str) -> bool:
    """True if `text` is an origin (RFC 6454, section 6.1); ``null`` is that of a local file."""
    if text in ("*", "null"):
        return True
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) and text == f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubOptions:
    """Addresses, access and limits. A client that exceeds a limit gets an error; other clients are not affected."""

    listen: Endpoint
    token: str | None = field(default=None, repr=False)
    """The token that local clients must present; None: no token (only on loopback or a Unix socket)."""
    allow_origins: Iterable[str] = ()
    """Web pages that may connect, as ``https://example.org``; ``*``: all."""
    allow_hosts: Iterable[str] = ()
    """Names in the Host header beside IP addresses, ``localhost`` and the one that the hub listens on."""
    max_clients: int = 256
    client_buffer: int = 64 << 20
    """Bytes that are kept for clients that lag, each message once for all; what is older is lost to them."""
    client_timeout: float = 60.0
    """Seconds after which a client that reads nothing, while messages wait for it, is cut off."""
    max_message: int = 1 << 20
    """Bytes of one message of a client."""
    waiting: int = 256
    """Messages of one client that may wait to be sent upstream; then it isn't read until there are fewer."""
    on_loss: OnLoss = "keep"
    """When the upstream is lost, clients stay connected (keep) or are closed (close)."""
    gap_message: str | None = None
    """A text sent to every client where messages may be missing; None: nothing is sent."""
    json: bool = False
    """True if messages of clients must be JSON."""
    linger: float | None = None
    """Seconds without a client until the upstream is closed; None: it stays open."""
    close_timeout: float = 5.0
    """Seconds for the clients' answers to CLOSE, all together."""
    metrics: Endpoint | None = None
    directory: str | None = None
    """The directory of the lock and the status socket; None: the user's runtime directory."""

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "allow_origins", frozenset(origin.lower().rstrip("/") for origin in self.allow_origins)
        )
        object.__setattr__(self, "allow_hosts", frozenset(host.lower() for host in self.allow_hosts))
        for origin in self.allow_origins:
            if not _is_origin(origin):
                raise InvalidOption(
                    f"{origin!r} is the origin of no web page: give the page's scheme and host, as https://example.org "
                    "(with the port, if it isn't the usual one), or * for all pages"
                )
        for name in ("max_clients", "client_buffer", "max_message", "waiting"):
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidOption(f"{name} must be a whole number above 0, not {value!r}")
        check_seconds("close_timeout", self.close_timeout)
        check_seconds("client_timeout", self.client_timeout)
        if self.linger is not None and not self.linger >= 0:
            raise InvalidOption(f"linger must be a number of seconds >= 0, not {self.linger!r}")
        if self.on_loss not in ("keep", "close"):
            raise InvalidOption(f"on_loss must be 'keep' or 'close', not {self.on_loss!r}")
        if self.token is not None and (not self.token or not is_header_value(self.token)):
            raise InvalidOption("the local token is empty, or holds line breaks or characters that are not ASCII")
        if self.token is None and not self.listen.is_private:
            raise InvalidOption(
                f"any program that reaches {self.listen} could use the connection: give a local token, "
                "or listen on 127.0.0.1 or a Unix socket"
            )
