"""Parses HTTP requests to a server, and judges whether they ask for a WebSocket (RFC 6455, section 4.2.1).

Sans-IO; HTTP itself is h11's. One connection has one request: the answer ends it, unless it is a 101.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, overload
from urllib.parse import parse_qsl

import h11

from ._header_fields import Headers, header_tokens, header_values
from ._http_response import HttpResponse

MAX_HEAD: Final = 32_768
"""Bytes of the request line and the headers."""
MAX_HEADERS: Final = 128
"""Header lines of a request."""
_EXCERPT: Final = 200
_KEY_SIZE: Final = 16
_VERSION: Final = "13"
_ABSOLUTE_FORM: Final = re.compile(r"(?:https?|wss?)://([^/?#]+)([^#]*)", re.IGNORECASE)


class RequestHeaders:
    """The headers of a request, by names in any case."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        """`headers`: with names in lower case."""
        self._headers = headers

    def __repr__(self) -> str:
        return f"<RequestHeaders {', '.join(self)}>"

    def __contains__(self, name: str) -> bool:
        return any(name.lower() == header for header, _ in self._headers)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._headers))

    @overload
    def get(self, name: str, default: str) -> str: ...
    @overload
    def get(self, name: str, default: None = None) -> str | None: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of the first header with this name."""
        return next(iter(self.getall(name)), default)

    def getall(self, name: str) -> list[str]:
        """Return the values of all headers with this name."""
        return header_values(self._headers, name.lower())


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A valid GET request. Its repr shows no header value and no query."""

    target: str
    """The path and the query, as they were sent."""
    headers: RequestHeaders
    key: str | None = None
    """The Sec-WebSocket-Key of an upgrade request; None: it asks for no WebSocket."""

    def __repr__(self) -> str:
        return f"<HttpRequest {self.path}{' upgrade' if self.is_upgrade else ''} {self.headers!r}>"

    @property
    def is_upgrade(self) -> bool:
        """True if the request asks for a WebSocket."""
        return self.key is not None

    @property
    def path(self) -> str:
        """The target without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The first value of each query parameter."""
        found: dict[str, str] = {}
        for name, value in parse_qsl(self.target.partition("?")[2]):
            found.setdefault(name, value)
        return found


class RequestParser:
    """Parses the one request of a connection."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._size = 0
        self.rest = b""
        """The bytes after the request: frames that the client sent without waiting for the answer."""
        self.is_head = False
        """True for a HEAD request, whose answer has no body."""

    def __repr__(self) -> str:
        return f"<RequestParser bytes={self._size}>"

    @property
    def has_begun(self) -> bool:
        """True if a byte has come."""
        return self._size > 0

    def feed(self, data: bytes) -> HttpRequest | HttpResponse | None:
        """Take bytes; returns the request, or the answer to an invalid one, or None while bytes are missing."""
        self._size += len(data)
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return None
            if not isinstance(event, h11.Request):
                return _bad_request("the connection ended within it")
            self.is_head = event.method == b"HEAD"
            found = _judge(event)
            if isinstance(found, HttpRequest):
                self._http.next_event()  # the end of its body, which is empty
                self.rest = self._http.trailing_data[0]
                if self._size - len(self.rest) > MAX_HEAD:
                    return _head_too_large()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 431:
                return _head_too_large()
            return HttpResponse.text(error.error_status_hint, f"the request is malformed: {str(error)[:_EXCERPT]}")
        return found


def _judge(event: h11.Request) -> HttpRequest | HttpResponse:
    fields: Headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
    if len(fields) > MAX_HEADERS:
        return HttpResponse.text(431, f"the request has {len(fields)} headers; at most {MAX_HEADERS} are allowed")
    headers = RequestHeaders(fields)
    refusal = _judge_body(headers)
    if refusal is not None:
        return refusal
    if event.method != b"GET":
        return HttpResponse.text(405, "only GET is allowed", {"Allow": "GET"})
    target = event.target.decode("latin-1")
    if not target.startswith("/"):
        absolute = _ABSOLUTE_FORM.fullmatch(target)
        if absolute is None:
            return _bad_request("its target is neither a path nor a URL")
        # The URL's host replaces that of the header (RFC 9112, section 3.2.2).
        fields = (("host", absolute[1]), *(field for field in fields if field[0] != "host"))
        headers = RequestHeaders(fields)
        target = absolute[2] if absolute[2].startswith("/") else f"/{absolute[2]}"
    if "websocket" not in header_tokens(headers.getall("upgrade")):
        return HttpRequest(target, headers)
    return _judge_upgrade(event.http_version, target, headers)


def _judge_body(headers: RequestHeaders) -> HttpResponse | None:
    """Refuse a body: no request needs one, and two lengths are an attempt to smuggle a request past a proxy."""
    if "transfer-encoding" in headers and "content-length" in headers:
        return _bad_request("it has both Content-Length and Transfer-Encoding")
    if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
        return HttpResponse.text(413, "a request with a body is not accepted")
    return None


def _judge_upgrade(version: bytes, target: str, headers: RequestHeaders) -> HttpRequest | HttpResponse:
    if version != b"1.1":
        return HttpResponse.text(505, f"a WebSocket needs HTTP/1.1, not HTTP/{version.decode('latin-1')}")
    if "upgrade" not in header_tokens(headers.getall("connection")):
        return _bad_request("its header Connection lacks the token Upgrade")
    if headers.getall("sec-websocket-version") != [_VERSION]:
        return HttpResponse.text(
            426,
            f"the header Sec-WebSocket-Version must be {_VERSION}",
            {"Upgrade": "websocket", "Sec-WebSocket-Version": _VERSION},
        )
    keys = headers.getall("sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return _bad_request(f"its header Sec-WebSocket-Key is not {_KEY_SIZE} bytes in base64, once")
    return HttpRequest(target, headers, keys[0])


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _KEY_SIZE
    except (binascii.Error, ValueError):
        return False


def upgrade_required() -> HttpResponse:
    """Return the answer to a request that should have asked for a WebSocket."""
    return HttpResponse.text(
        426,
        "this is a WebSocket server: ask for an upgrade",
        {"Upgrade": "websocket", "Sec-WebSocket-Version": _VERSION},
    )


def _bad_request(why: str) -> HttpResponse:
    return HttpResponse.text(400, f"the request is malformed: {why}")


def _head_too_large() -> HttpResponse:
    return HttpResponse.text(431, f"the head of the request is longer than {MAX_HEAD} bytes")
