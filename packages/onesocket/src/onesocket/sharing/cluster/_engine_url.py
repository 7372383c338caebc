"""URLs of cluster engines: the rules that all have in common."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from ..._record import record
from ...errors import InvalidURL

_SPACE_OR_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")


@record
class UrlRules:
    """Reads the parts of an engine's URLs; raises `InvalidURL`, which names the fault and shows no secret."""

    engine: str
    schemes: tuple[str, ...]
    examples: str

    def split(self, url: str) -> SplitResult:
        """The parts of a URL with one of the schemes, and without a fragment."""
        if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a type checker
            raise InvalidURL(f"the URL of {self.engine} must be a str, not {type(url).__name__}")
        if _SPACE_OR_CONTROL.search(url):
            raise self.fault("it has a space or a control character")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise self.fault("its host can't be read") from None
        if parts.scheme not in self.schemes:
            raise self.fault(f"its scheme is none of {', '.join(self.schemes)}")
        if parts.fragment:
            raise self.fault("it has a fragment; write # in a password as %23")
        return parts

    def host(self, text: str, default: int) -> tuple[str, int]:
        """Host and port of ``host[:port]``."""
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise self.fault("a host or its port can't be read") from None
        if not host:
            raise self.fault("it has no host")
        return host, default if port is None else port

    def options(self, query: str, known: tuple[str, ...]) -> dict[str, str]:
        """The options of a query."""
        options = dict(parse_qsl(query, keep_blank_values=True))
        for name in options:
            if name not in known:
                raise self.fault(f"it has an unknown option; known are {', '.join(known)}")
        return options

    def fault(self, text: str) -> InvalidURL:
        """The error for a URL."""
        return InvalidURL(f"the URL of {self.engine} is not valid: {text}; for example {self.examples}")


def hosts_text(hosts: tuple[tuple[str, int], ...]) -> str:
    """Hosts and ports, for a URL."""
    return ",".join(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in hosts)
