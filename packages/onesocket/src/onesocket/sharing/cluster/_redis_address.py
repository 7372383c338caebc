"""URLs of Redis and Valkey: checked before anything is connected, and shown without their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote

from ..._record import record
from ._engine_url import UrlRules, hosts_text

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_TLS_OPTIONS: Final = {"ca": "ssl_ca_certs", "cert": "ssl_certfile", "key": "ssl_keyfile"}
"""Options in the query of a URL with TLS, and redis-py's names for them: paths of PEM files."""
_SENTINEL_OPTIONS: Final = {"sentinel_user": "username", "sentinel_password": "password"}
"""... and in one of Sentinels: their own login, as that before the hosts is for the servers."""
_RULES: Final = UrlRules(
    "Redis",
    ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"),
    "redis://host:6379/0, rediss://user:password@host, unix:///path/of/socket, redis+sentinel://host1,host2/service",
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
    sentinel_login: Mapping[str, str] | None = None
    """Arguments of redis-py's connections to the Sentinels."""
    tls_files: Mapping[str, str] | None = None
    """Arguments of redis-py's TLS connections."""

    def __repr__(self) -> str:
        return f"<RedisAddress {self}>"

    def __str__(self) -> str:
        scheme = ("rediss" if self.secure else "redis") + ("+sentinel" if self.service else "")
        if self.path:
            return f"unix://{self.path}"
        return f"{scheme}://{hosts_text(self.hosts)}" + (f"/{self.service}" if self.service else "")

    @property
    def pem_files(self) -> dict[str, str]:
        """Paths of PEM files, by their options in the URL."""
        files = self.tls_files or {}
        return {name: files[theirs] for name, theirs in _TLS_OPTIONS.items() if theirs in files}

    @classmethod
    def of(cls, url: str) -> RedisAddress:
        """Parse `url`; raises `InvalidURL`, which names the fault and shows no secret."""
        parts = _RULES.split(url)
        return cls._unix(parts) if parts.scheme == "unix" else cls._network(parts)

    @classmethod
    def _unix(cls, parts: SplitResult) -> RedisAddress:
        login, _, host = parts.netloc.rpartition("@")
        path = unquote(parts.path)
        if host or not path.strip("/"):
            raise _RULES.fault("it names no path of a Unix socket: unix:///path/of/socket")
        username, password = _login(login)
        options = _RULES.options(parts.query, ("db",))
        return cls((), path=path, database=_database(options.get("db", "")), username=username, password=password)

    @classmethod
    def _network(cls, parts: SplitResult) -> RedisAddress:
        secure, is_sentinel = parts.scheme.startswith("rediss"), parts.scheme.endswith("+sentinel")
        login, _, netloc = parts.netloc.rpartition("@")
        hosts = tuple(_RULES.host(each, SENTINEL_PORT if is_sentinel else PORT) for each in netloc.split(","))
        if len(hosts) > 1 and not is_sentinel:
            raise _RULES.fault("it has several hosts, which only redis+sentinel:// can have")
        path = unquote(parts.path).strip("/").split("/")
        service = path.pop(0) if is_sentinel else ""
        if is_sentinel and not service:
            raise _RULES.fault("it names no service: redis+sentinel://host1,host2/service")
        known = ("db", *(_TLS_OPTIONS if secure else ()), *(_SENTINEL_OPTIONS if is_sentinel else ()))
        options = _RULES.options(parts.query, known)
        if "key" in options and "cert" not in options:
            raise _RULES.fault("it has a key without a cert")
        database = "/".join(path) or options.pop("db", "")
        username, password = _login(login)
        files = {_TLS_OPTIONS[name]: value for name, value in options.items() if name in _TLS_OPTIONS}
        asked = {_SENTINEL_OPTIONS[name]: value for name, value in options.items() if name in _SENTINEL_OPTIONS}
        return cls(hosts, secure, "", service, _database(database), username, password, asked, files)


def _login(text: str) -> tuple[str | None, str | None]:
    username, _, password = text.partition(":")
    return unquote(username) or None, unquote(password) or None


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise _RULES.fault("its database is not a number")
    return int(text or 0)
