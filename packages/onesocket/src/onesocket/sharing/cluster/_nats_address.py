"""URLs of NATS: checked before anything is connected, and shown without their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from ..._record import record
from ._engine_url import UrlRules, hosts_text

PORT: Final = 4222
_FILES: Final = ("ca", "cert", "key")
"""Options in the query of a URL with TLS: paths of PEM files."""
_MOST_REPLICAS: Final = 5
"""Of a stream, in NATS."""
_RULES: Final = UrlRules(
    "NATS",
    ("nats", "tls"),
    "nats://host:4222, nats://user:password@host1,host2, nats://token@host?replicas=3, tls://host?ca=/path/ca.pem",
)


@record
class NatsAddress:
    """A checked URL. Its `str` has no password and no token."""

    hosts: tuple[tuple[str, int], ...]
    """Servers of one NATS cluster, tried in this order."""
    secure: bool = False
    username: str | None = None
    password: str | None = None
    token: str | None = None
    tls_files: Mapping[str, str] | None = None
    """Paths of PEM files: ``ca``, ``cert``, ``key``."""
    replicas: int | None = None
    """Servers that are to keep each stream."""

    def __repr__(self) -> str:
        return f"<NatsAddress {self}>"

    def __str__(self) -> str:
        return f"{'tls' if self.secure else 'nats'}://{hosts_text(self.hosts)}"

    @classmethod
    def of(cls, url: str) -> NatsAddress:
        """Parse `url`; raises `InvalidURL`, which names the fault and shows no secret."""
        parts = _RULES.split(url)
        if parts.path.strip("/"):
            raise _RULES.fault("it has a path")
        secure = parts.scheme == "tls"
        login, _, netloc = parts.netloc.rpartition("@")
        hosts = tuple(_RULES.host(each, PORT) for each in netloc.split(","))
        files = _RULES.options(parts.query, ("replicas", *_FILES))
        replicas = _replicas(files.pop("replicas", None))
        if files and not secure:
            raise _RULES.fault("it has an option that only tls:// can have")
        if "key" in files and "cert" not in files:
            raise _RULES.fault("it has a key without a cert")
        name, colon, password = login.partition(":")
        if not colon:
            return cls(hosts, secure, token=unquote(name) or None, tls_files=files, replicas=replicas)
        if not name:
            raise _RULES.fault("it has a password without a user name")
        return cls(hosts, secure, unquote(name), unquote(password), tls_files=files, replicas=replicas)


def are_replicas(number: object) -> bool:
    """True for a number of servers that can keep a stream."""
    return isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= _MOST_REPLICAS


def _replicas(text: str | None) -> int | None:
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not are_replicas(number):
        raise _RULES.fault(f"its replicas are not a whole number from 1 to {_MOST_REPLICAS}")
    return number
