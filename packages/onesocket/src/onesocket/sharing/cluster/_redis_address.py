"""URLs of Redis and Valkey: checked before anything is connected, and shown without their secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..._record import record
from ...errors import InvalidURL

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_TLS_OPTIONS: Final = {"ca": "ssl_ca_certs", "cert": "ssl_certfile", "key": "ssl_keyfile"}
"""Options in the query of a URL with TLS, and redis-py's names for them: paths of PEM files."""
_SPACE_OR_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
_EXAMPLES: Final = (
    "redis://host:6379/0, rediss://user:password@host, unix:///path/of/socket, redis+sentinel://host1,host2/service"
)


@record
class RedisAddress:
    """A checked URL. Its `str` has no password."""

    hosts: tuple[tuple[str, int], ...]
    """One server, or the Sentinels; empty for a Unix socket."""
    secure: bool = False
    path: str = ""
    """Of a Unix socket."""
    service: str = ""
    """The name of the primary, for Sentinels; else empty."""
    database: int = 0
    username: str | None = None
    password: str | None = None
    tls_files: Mapping[str, str] | None = None
    """Arguments of redis-py's TLS connections."""

    def __repr__(self) -> str:
        return f"<RedisAddress {self}>"

    def __str__(self) -> str:
        scheme = ("rediss" if self.secure else "redis") + ("+sentinel" if self.service else "")
        if self.path:
            return f"unix://{self.path}"
        hosts = ",".join(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in self.hosts)
        return f"{scheme}://{hosts}" + (f"/{self.service}" if self.service else "")

    @classmethod
    def of(cls, url: str) -> RedisAddress:
        """Parse `url`; raises `InvalidURL`, which names the fault and shows no secret."""
        if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a type checker
            raise InvalidURL(f"the URL of Redis must be a str, not {type(url).__name__}")
        if _SPACE_OR_CONTROL.search(url):
            raise _fault("it has a space or a control character")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise _fault("its host can't be read") from None
        if parts.scheme not in _SCHEMES:
            raise _fault(f"its scheme is none of {', '.join(_SCHEMES)}")
        if parts.fragment:
            raise _fault("it has a fragment; write # in a password as %23")
        return cls._unix(parts) if parts.scheme == "unix" else cls._network(parts)

    @classmethod
    def _unix(cls, parts: SplitResult) -> RedisAddress:
        login, _, host = parts.netloc.rpartition("@")
        path = unquote(parts.path)
        if host or not path.strip("/"):
            raise _fault("it names no path of a Unix socket: unix:///path/of/socket")
        username, password = _login(login)
        options = _options(parts.query, ("db",))
        return cls((), path=path, database=_database(options.get("db", "")), username=username, password=password)

    @classmethod
    def _network(cls, parts: SplitResult) -> RedisAddress:
        secure, is_sentinel = parts.scheme.startswith("rediss"), parts.scheme.endswith("+sentinel")
        login, _, netloc = parts.netloc.rpartition("@")
        hosts = tuple(_host(each, SENTINEL_PORT if is_sentinel else PORT) for each in netloc.split(","))
        if len(hosts) > 1 and not is_sentinel:
            raise _fault("it has several hosts, which only redis+sentinel:// can have")
        path = unquote(parts.path).strip("/").split("/")
        service = path.pop(0) if is_sentinel else ""
        if is_sentinel and not service:
            raise _fault("it names no service: redis+sentinel://host1,host2/service")
        options = _options(parts.query, ("db", *(_TLS_OPTIONS if secure else ())))
        database = "/".join(path) or options.pop("db", "")
        username, password = _login(login)
        files = {_TLS_OPTIONS[name]: value for name, value in options.items() if name in _TLS_OPTIONS}
        return cls(hosts, secure, "", service, _database(database), username, password, files)


def _fault(text: str) -> InvalidURL:
    return InvalidURL(f"the URL of Redis is not valid: {text}; for example {_EXAMPLES}")


def _host(text: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _fault("a host or its port can't be read") from None
    if not host:
        raise _fault("it has no host")
    return host, default if port is None else port


def _login(text: str) -> tuple[str | None, str | None]:
    username, _, password = text.partition(":")
    return unquote(username) or None, unquote(password) or None


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise _fault("its database is not a number")
    return int(text or 0)


def _options(query: str, known: tuple[str, ...]) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in known:
            raise _fault(f"it has an unknown option; known are {', '.join(known)}")
    return options
