"""The proxy of an attempt: checked, and named in messages without its credentials."""

from __future__ import annotations

from dataclasses import field
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from .._record import record
from ..errors import InvalidOption, InvalidURL
from ..urls import Address, parse_url
from ._environment_proxy import environment_proxy

ProxyOption = str | Literal[True] | None
"""The URL of a proxy; True: the one that the environment has for the address; None: no proxy."""

_SCHEMES: Final = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
# RFC 1929, section 2: one byte holds the length of each.
_MAX_SOCKS_CREDENTIAL: Final = 255


@record
class Proxy:
    """A proxy to connect through; its repr shows no credentials."""

    address: Address
    scheme: str
    url: str = field(repr=False)
    """As it was given, with its credentials."""
    source: str = ""
    """The variable or the settings that name it; empty for one that was given as an option."""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str, source: str = "") -> Proxy:
        """Check the URL of a proxy; raises `InvalidURL`, which names `source`."""
        what = f"proxy URL ({source})" if source else "proxy URL"
        address = parse_url(url, schemes=_SCHEMES, what=what)
        parts = urlsplit(url)
        proxy = cls(address, parts.scheme, url, source, unquote(parts.username or ""), unquote(parts.password or ""))
        if proxy.is_socks:
            _check_socks_credentials(proxy, what)
        return proxy

    @property
    def is_socks(self) -> bool:
        """True for a SOCKS proxy, False for an HTTP proxy."""
        return self.scheme.startswith("socks")

    @property
    def resolves_names(self) -> bool:
        """True if the proxy looks up the server's name; False if this machine does (socks4 and socks5)."""
        return self.scheme == self.resolving_scheme

    @property
    def resolving_scheme(self) -> str:
        """The scheme with which the proxy looks up names."""
        return {"socks4": "socks4a", "socks5": "socks5h"}.get(self.scheme, self.scheme)

    @property
    def name(self) -> str:
        """The proxy, for messages."""
        return f"the proxy {self.address.host_port}" + (f" (from {self.source})" if self.source else "")

    @property
    def remedy(self) -> str:
        """The place where the proxy is configured, for messages."""
        return self.source or "proxy="


def check_proxy(value: object, address: Address | None = None) -> ProxyOption:
    """Return a checked option `proxy=` for a connection to `address`; raises `InvalidOption` or `InvalidURL`."""
    if value is None or value is True:
        return value
    if not isinstance(value, str):
        raise InvalidOption(
            f"proxy must be a URL, True for the environment's proxy, or None for none, not {type(value).__name__}"
        )
    Proxy.parse(value)
    if address is not None and address.unix_path:
        raise InvalidOption("proxy= was given, but the URL is that of a Unix socket, to which no proxy can connect")
    return value


def find_proxy(option: ProxyOption, address: Address, *, scheme: str | None = None) -> Proxy | None:
    """Return the proxy for a connection to `address`. Raises `InvalidURL` for a malformed one in the environment.

    `scheme`: that of the address (default: ``ws`` or ``wss``); it chooses the variables.
    """
    if option is None or address.unix_path:
        return None
    if option is not True:
        return Proxy.parse(option)
    found = environment_proxy(scheme or ("wss" if address.secure else "ws"), address.host, address.port)
    return None if found is None else Proxy.parse(*found)


def _check_socks_credentials(proxy: Proxy, what: str) -> None:
    given, where = (proxy.user, proxy.password), proxy.address.host_port
    if any(not text.isascii() or len(text) > _MAX_SOCKS_CREDENTIAL for text in given):
        raise InvalidURL(
            f"the {what} for {where} has a user name or password that SOCKS can't carry: ASCII characters, "
            f"{_MAX_SOCKS_CREDENTIAL} at most"
        )
    if proxy.scheme.startswith("socks5") and any(given) and not all(given):
        raise InvalidURL(f"the {what} for {where} has a user name or a password alone, and SOCKS5 wants both")
