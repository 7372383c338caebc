"""The address by which clients reach the server: that of a reverse proxy in front, or its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from onesocket.errors import InvalidOption

_PORTS: Final = {"http": 80, "https": 443}
_API_PATH: Final = "/api/v10"


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """A scheme, a host and perhaps a port; the addresses of the page, the API, the gateway and the files follow."""

    origin: str
    """As browsers write it, such as ``https://chat.example``: in lower case, without the scheme's own port."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the value of ``--public-url``. Raises `InvalidOption`."""
        return cls(parse_origin(text, "--public-url", "the scheme and host by which browsers reach the server"))

    @property
    def page_url(self) -> str:
        """``https://chat.example/``."""
        return f"{self.origin}/"

    @property
    def api_url(self) -> str:
        """``https://chat.example/api/v10``."""
        return self.origin + _API_PATH

    @property
    def gateway_url(self) -> str:
        """``wss://chat.example/``."""
        return f"ws{self.origin.removeprefix('http')}/"


def parse_origin(text: str, option: str, meaning: str) -> str:
    """Return the origin that a user has written, in a browser's form. Raises `InvalidOption`, which names `option`."""
    found = _split(text, {"http", "https"})
    if found is None or found[0].path.strip("/") or not _is_written_plainly(found[1]):
        raise InvalidOption(
            f"{option} wants {meaning}, such as https://chat.example, without a path and with a name in ASCII "
            f"(xn--…), not {_shown(text)}"
        )
    parts, host, port = found
    shown_host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown_host}" + ("" if port in {None, _PORTS[parts.scheme]} else f":{port}")


def check_gateway_url(text: str) -> str:
    """Return the value of ``--gateway-url``. Raises `InvalidOption`."""
    if _split(text, {"ws", "wss"}) is None or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidOption(
            f"--gateway-url wants a WebSocket's address, such as wss://chat.example/, not {_shown(text)}"
        )
    return text


def _split(text: str, schemes: set[str]) -> tuple[SplitResult, str, int | None] | None:
    """The parts, the host and the port; None for a URL without a host, or with something that has no place here."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:  # the port is no number, or a bracket is missing
        return None
    has_more = "@" in parts.netloc or parts.query or parts.fragment
    if parts.scheme not in schemes or not host or port == 0 or has_more:
        return None
    return parts, host, port


def _shown(text: str) -> str:
    return "what was given" if "@" in text else repr(text)  # a password may stand before the @


def _is_written_plainly(host: str) -> bool:
    return host.isascii() and host.isprintable() and not any(mark in host for mark in " \\*%_,;<>\"'")
