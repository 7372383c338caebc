"""WebSocket URLs: checked before anything is dialled, and shown without their secrets."""

from __future__ import annotations

import base64
import os
import re
import sys
from urllib.parse import SplitResult, quote, unquote, unquote_plus, urlencode, urlsplit, urlunsplit

from ._record import record
from .errors import InvalidURL

CLIENT_SCHEMES = ("ws", "wss", "ws+unix", "unix")
"""The schemes of a client's URL; the last two, which mean the same, are those of a Unix socket."""
_DEFAULT_PORTS = {
    "ws": 80,
    "wss": 443,
    "http": 80,
    "https": 443,
    **dict.fromkeys(("socks4", "socks4a", "socks5", "socks5h"), 1080),
}
_UNIX_SCHEMES = ("ws+unix", "unix")
# Bytes, without the terminating zero (sockaddr_un in the headers of the system).
_MAX_UNIX_PATH = 107 if sys.platform == "linux" else 103

_MAX_LABEL = 63
_MAX_NAME = 253
_SCHEME = re.compile("[a-z0-9+.-]+:/+", re.IGNORECASE)
_NOT_IN_A_NAME = re.compile("[^0-9a-z_-]")
_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class _Fault(Exception):
    """The fault of a URL, in words that show nothing of it."""


@record
class Address:
    """A checked URL. `url` is ASCII without user info; `authorization` is a header value made of the user info.

    `target` is the path with the query, byte by byte as it was given; it goes into the request line.
    """

    url: str
    host: str
    port: int
    secure: bool
    authorization: str | None
    target: str = "/"
    unix_path: str = ""
    """The path of a Unix socket; empty for TCP."""

    def __repr__(self) -> str:
        return f"<Address {redact(self.url)}>"

    @property
    def host_port(self) -> str:
        """`host:port`, or ``unix:`` and a path, for messages."""
        return f"unix:{self.unix_path}" if self.unix_path else f"{_bracketed(self.host)}:{self.port}"

    @property
    def authority(self) -> str:
        """`host:port` for the header `Host`: without the port if it is the default of the scheme (RFC 6455, 4.1)."""
        host = _bracketed(self.host.partition("%")[0])  # the zone of an IPv6 address means nothing to the server
        is_default = self.port == _DEFAULT_PORTS["wss" if self.secure else "ws"]
        return host if is_default else f"{host}:{self.port}"


def parse_url(url: str, *, schemes: tuple[str, ...] = ("ws", "wss"), what: str = "URL") -> Address:
    """Check `url`; raises `InvalidURL`, which names the fault and shows no secret. `what` names the URL in its text.

    The URL of a Unix socket (see `CLIENT_SCHEMES`) is ``ws+unix:///path/of/socket:/target?query``.
    """
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a type checker
        raise InvalidURL(f"the {what} must be a str, not {type(url).__name__}")
    try:
        return _parse(url, schemes)
    except _Fault as fault:
        raise InvalidURL(f"{_redact_malformed(url)!r} is not a valid {what}: {fault}") from None


def _parse(url: str, schemes: tuple[str, ...]) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _Fault(_safe_error_text(error)) from None
    if parts.scheme in _UNIX_SCHEMES and parts.scheme in schemes:
        return _parse_unix_url(url, parts)
    _check_parts(url, parts, schemes)
    host = _check_host(parts.hostname or "")
    netloc = _bracketed(host) if port is None else f"{_bracketed(host)}:{port}"
    target = _target(url)
    return Address(
        url=f"{parts.scheme}://{netloc}{target}",
        host=host,
        port=_DEFAULT_PORTS[parts.scheme] if port is None else port,
        secure=parts.scheme in ("wss", "https"),
        authorization=_basic_auth(parts),
        target=target,
    )


def _parse_unix_url(url: str, parts: SplitResult) -> Address:
    _check_characters(url, parts)
    quoted, _, target = parts.path.partition(":")
    path = unquote(quoted)
    if parts.netloc or not path.startswith("/") or "\0" in path:
        raise _Fault(
            "it names no absolute path of a Unix socket; "
            "write ws+unix:///path/of/socket or ws+unix:///path/of/socket:/target"
        )
    if len(os.fsencode(path)) > _MAX_UNIX_PATH:
        raise _Fault(
            f"a path of a Unix socket has at most {_MAX_UNIX_PATH} bytes (this one has {len(os.fsencode(path))})"
        )
    if sys.platform == "win32":
        raise _Fault("Python has no Unix sockets on Windows")
    target = _quoted(f"/{target.removeprefix('/')}" + (f"?{parts.query}" if parts.query else ""))
    return Address(
        url=f"ws+unix://{quote(path)}:{target}",
        host="localhost",  # for the header Host
        port=_DEFAULT_PORTS["ws"],
        secure=False,
        authorization=None,
        target=target,
        unix_path=path,
    )


def with_query(url: str, name: str, value: str) -> str:
    """Return `url` with one query parameter, added or replaced; every other byte of it stays as it is."""
    base, _, query = url.partition("?")
    kept = [pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) != name] if query else []
    return f"{base}?{'&'.join([*kept, urlencode([(name, value)])])}"


def redact(url: object) -> str:
    """Return `url` without query values, user info and fragment, for messages and logs."""
    if not isinstance(url, str):
        return f"<{type(url).__name__}>"
    try:
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "<unreadable URL>"
    pairs = [pair.partition("=") for pair in parts.query.split("&") if pair]
    query = "&".join(f"{quote(unquote_plus(key))}=***" if equals else "***" for key, equals, _ in pairs)
    if parts.query and not pairs:
        query = "***"
    if parts.scheme in _UNIX_SCHEMES and not netloc:  # urlunsplit() would leave out the slashes
        return f"{parts.scheme}://{parts.path}" + (f"?{query}" if query else "")
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))


def _redact_malformed(url: str) -> str:
    """Redact a text that may be no URL, as it was given: everything before the last @ may belong to a password."""
    head, at, tail = url.rpartition("@")
    if at:
        scheme = _SCHEME.match(head)
        url = (scheme[0] if scheme else "") + tail
    before, fragment, _ = url.partition("#")
    shown, query, _ = before.partition("?")
    if query:
        shown += f"?{redact(before).partition('?')[2] or '***'}"
    return shown + ("#***" if fragment else "")


def _check_parts(url: str, parts: SplitResult, schemes: tuple[str, ...]) -> None:
    _check_characters(url, parts)
    if parts.scheme not in schemes:
        wanted = " or ".join(f"{scheme}://" for scheme in schemes)
        hint = {"http": "; did you mean ws://?", "https": "; did you mean wss://?"}.get(parts.scheme, "")
        if not hint and "://" not in url:
            hint = f"; did you mean {schemes[0]}://{_redact_malformed(url)}?"
        raise _Fault(f"it must begin with {wanted}{hint}")
    if "[" in parts.netloc.rpartition("@")[2] and ":" not in (parts.hostname or ""):
        raise _Fault("its host is in brackets, but no IPv6 address")
    if not parts.hostname:
        raise _Fault("it names no host")
    if parts.port == 0:
        raise _Fault("port 0 can't be connected to")


def _check_characters(url: str, parts: SplitResult) -> None:
    if _SPACE_OR_CONTROL.search(url):
        raise _Fault("it holds white space or control characters")
    if _SURROGATE.search(url):
        raise _Fault("it holds a surrogate, which is no character")
    if parts.fragment:
        raise _Fault("a fragment (#…) has no meaning for a WebSocket")


def _target(url: str) -> str:
    """Return the path and the query of a URL without a fragment, with only their non-ASCII characters encoded."""
    _, _, rest = url.partition("#")[0].partition("://")
    start = re.search("[/?]", rest)
    target = "" if start is None else rest[start.start() :]
    if not target.startswith("/"):
        target = f"/{target}"
    return _quoted(target)


def _quoted(target: str) -> str:
    return target if target.isascii() else "".join(c if c.isascii() else quote(c) for c in target)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _check_host(host: str) -> str:
    """Return the host in ASCII, if it can be one: an IP address, or a name (RFC 1035, section 2.3.4)."""
    if ":" in host:
        return unquote(host)  # an IPv6 address, which urllib has checked; a zone follows %25 (RFC 6874)
    if not host.isascii():
        host = _encode_name(host)
    for label in host.removesuffix(".").split("."):
        if not label:
            fault = "its host begins with a dot, or has two in a row: was a part of it left empty?"
        elif len(label) > _MAX_LABEL:
            fault = f"a part of its host is longer than {_MAX_LABEL} characters"
        elif (wrong := _NOT_IN_A_NAME.search(label)) is not None:
            fault = f"no host name has the character {wrong[0]!r}"
        else:
            continue
        raise _Fault(fault)
    if len(host.removesuffix(".")) > _MAX_NAME:
        raise _Fault(f"its host is longer than {_MAX_NAME} characters")
    return host


def _encode_name(host: str) -> str:
    """Return a host name in ASCII by IDNA 2008: Python's own codec is of 2003, and names other hosts for ß and ς."""
    import idna  # noqa: PLC0415 - large, and most names are ASCII

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError as error:  # IDNAError is one
        raise _Fault(f"its host is no name of IDNA 2008 ({error}); the form xn--… is taken") from None


def _basic_auth(parts: SplitResult) -> str | None:
    if not parts.username and not parts.password:
        return None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def _safe_error_text(error: ValueError) -> str:
    # urllib's texts may repeat the whole netloc, user info included.
    text = str(error)
    return "its port is not a number from 1 to 65535" if "ort" in text else "its host can't be read"
