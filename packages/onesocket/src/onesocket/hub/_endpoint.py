"""The address of a listening socket: a TCP port or a Unix socket."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ..errors import InvalidOption

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""
    """The path of a Unix socket; "" for TCP."""

    @classmethod
    def parse(cls, text: str, option: str, *, unix: bool = True) -> Endpoint:
        """Parse ``HOST:PORT``, ``PORT`` (on 127.0.0.1) or ``unix:PATH``. Raises `InvalidOption`."""
        forms = "HOST:PORT, PORT" + (" or unix:PATH" if unix else "")
        if unix and text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path or "\0" in path:
                raise InvalidOption(f"{option} names no path: {text!r}; it wants {forms}")
            return cls(path=path)
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]") or _LOOPBACK
        if not port.isascii() or not port.isdigit() or int(port) > 65535 or "/" in host:
            raise InvalidOption(f"{option} wants {forms}, not {text!r}")
        return cls(host, int(port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_private(self) -> bool:
        """True if only programs on this machine can reach it."""
        return bool(self.path) or is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """True if this name or address always means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_ip_address(host: str) -> bool:
    """True if `host` is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
