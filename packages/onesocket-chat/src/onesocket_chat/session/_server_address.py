"""The address of a chat server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from onesocket.errors import InvalidURL

DEFAULT_SERVER: Final = "http://127.0.0.1:8720"
"""The default address of `onesocket serve`."""
_API_PATH: Final = "/api/v10"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A chat server, by the address of its HTTP API."""

    api_url: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a user's input: ``host:port``, an origin, or the API's whole URL. Raises `InvalidURL`."""
        text = text.strip()
        shown = "what was typed" if "@" in text else repr(text)  # a password may stand before the @
        url = text if "://" in text else f"http://{text}"
        try:
            parts = urlsplit(url)
            fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # the port is no number, or a bracket is missing
            raise InvalidURL(f"{shown} is no address of a chat server: give host:port") from None
        if not fits or "@" in parts.netloc or not url.isprintable() or " " in url:
            raise InvalidURL(f"{shown} is no address of a chat server: give host:port, or its http:// URL")
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or _API_PATH}")

    @property
    def address(self) -> str:
        """The server's address as a user types it: the API's URL without the API's path."""
        return self.api_url.removesuffix(_API_PATH)

    @property
    def name(self) -> str:
        """The server's name in notices."""
        return urlsplit(self.api_url).netloc
