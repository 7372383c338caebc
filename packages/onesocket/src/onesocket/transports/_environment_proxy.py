"""Finds the proxy that the environment, or the system, has for an address.

The variables are those of `websockets` and `httpx`, and read as those two read them: see docs/network.md.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Final

_SYSTEM: Final = "the system's settings"
# Most wanted first. RFC 6455, section 4.1, prefers a SOCKS proxy, then that for https, as it lets CONNECT pass.
_VARIABLES: Final = {
    "wss": ("wss", "socks", "https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
    "https": ("https", "all"),
    "http": ("http", "all"),
}
# Platforms whose system settings name proxies, too; elsewhere importing urllib.request, which reads them, costs 50 ms.
_HAS_SYSTEM_SETTINGS: Final = sys.platform in ("darwin", "win32")


def environment_proxy(scheme: str, host: str, port: int) -> tuple[str, str] | None:
    """Return the URL of the proxy for this address and a text that names its source; None: there is no proxy for it."""
    for name in _VARIABLES[scheme]:
        variable = f"{name}_proxy"
        url = _variable(variable)
        if url:
            if _is_exempt(_variable("no_proxy") or "", host, port):
                return None
            return url if "://" in url else f"http://{url}", f"{variable} in the environment"
    return _system_proxy(scheme, host, port) if _HAS_SYSTEM_SETTINGS else None


def _variable(name: str) -> str | None:
    """Return the value of a variable; the name in lower case goes before that in upper case, even if it is empty."""
    value = os.environ.get(name)
    if value is None and not (name == "http_proxy" and "REQUEST_METHOD" in os.environ):
        # In a CGI program HTTP_PROXY is the header Proxy of the request: anybody may set it.
        value = os.environ.get(name.upper())
    return value if value is None else value.strip()


def _is_exempt(no_proxy: str, host: str, port: int) -> bool:
    host = host.lower().rstrip(".")
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    return any(entry == "*" or _matches(entry, host, port) for entry in entries if entry)


def _matches(entry: str, host: str, port: int) -> bool:
    """Return True for the host itself, a domain above it, ``host:port``, or a network (10.0.0.0/8) around it."""
    if "/" in entry:
        return _is_in_network(entry, host)
    name, colon, number = entry.rpartition(":")
    if colon and number.isdecimal() and (":" not in name or name.startswith("[")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.removeprefix("[").removesuffix("]").removeprefix("*").removeprefix(".")
    return host == entry or host.endswith(f".{entry}") or _is_in_network(entry, host)  # as ::1 is 0:0:0:0:0:0:0:1


def _is_in_network(network: str, host: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:  # a name, or no network
        return False


def _system_proxy(scheme: str, host: str, port: int) -> tuple[str, str] | None:
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - 50 ms

    if proxy_bypass(f"{host}:{port}"):
        return None
    found = getproxies()
    for name in _VARIABLES[scheme]:
        url = found.get(name)
        if url:
            # The system's SOCKS proxy is named with the scheme http.
            return f"socks5h://{url.rpartition('://')[2]}" if name == "socks" else url, _SYSTEM
    return None
