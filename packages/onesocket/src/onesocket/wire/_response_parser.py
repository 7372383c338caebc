"""Parses the response to the upgrade request (RFC 6455, section 4.1; RFC 9112), strictly only if it accepts.

Sans-IO. Interim responses (1xx) are skipped, `Connection` is a list of tokens in any number of header lines, and the
error of a refusal has its status, whatever the form of its head. Head and body are bounded.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

from ..errors import ConnectionReset, HandshakeRejected, InvalidHandshake, OnesocketError
from ..lifecycle._peer_errors import handshake_rejected
from ..urls import redact
from ._handshake import DialRequest
from ._header_fields import Headers, header_tokens, header_values
from ._response_head import HEAD_END, HTTP_PREFIX, MAX_HEAD, ResponseHead

# Bytes of a refusal's body that are read, and characters of it that are shown.
_MAX_BODY: Final = 4096
_EXCERPT: Final = 200
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHING_PROTOCOLS: Final = 101
# The first bytes of a TLS alert (RFC 8446, section 5.1), as a port with TLS answers a plain request.
_TLS_ALERT: Final = b"\x15\x03"
_NOT_HTTP: Final = "its answer is not HTTP; check the host and the port"

_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]*\r?\n")


@dataclass(frozen=True, slots=True)
class AcceptedHandshake:
    """A valid 101."""

    headers: Headers
    """Names in lower case, in the order of the response."""
    subprotocol: str | None
    rest: bytes
    """The bytes after the head: the first frames."""


class ResponseParser:
    """Parses the response to the upgrade: the result is an `AcceptedHandshake` or the error of the attempt."""

    def __init__(self, request: DialRequest, key: str, *, extensions: bool = False) -> None:
        """`key`: the Sec-WebSocket-Key that was sent; `extensions`: some were offered, and the caller checks them."""
        self._request = request
        self._key = key
        self._extensions = extensions
        self._raw = bytearray()
        self._seen = 0
        """Offset at which the search for the end of the head continues."""
        self._interim = 0
        """Bytes of interim responses."""
        self._refusal: ResponseHead | None = None

    def __repr__(self) -> str:
        return f"<ResponseParser bytes={len(self._raw)}{' refused' if self.refuses else ''}>"

    @property
    def refuses(self) -> bool:
        """True if the body of a refusal is being read; it may not end, so callers set a deadline."""
        return self._refusal is not None

    def feed(self, data: bytes) -> AcceptedHandshake | OnesocketError | None:
        """Take bytes; returns the result, or None while more are needed."""
        self._raw += data
        while self._refusal is None:
            if not self._raw.startswith(HTTP_PREFIX[: len(self._raw)]):
                if not self._request.address.secure and self._raw.startswith(_TLS_ALERT[: len(self._raw)]):
                    return self._invalid(
                        "its answer is a TLS alert, so that port speaks TLS: use wss:// instead of ws://"
                    )
                return self._invalid(_NOT_HTTP)
            end = HEAD_END.search(self._raw, max(0, self._seen - 3))
            self._seen = len(self._raw)
            if self._interim + (self._seen if end is None else end.end()) > MAX_HEAD:
                too_long = self._invalid(f"the head of its answer is longer than {MAX_HEAD} bytes")
                return self._refused_so_far() or too_long
            if end is None:
                return None
            head = ResponseHead.parse(bytes(self._raw[: end.start()]))
            del self._raw[: end.end()]
            if head is None:
                return self._invalid(_NOT_HTTP)
            if head.status == _SWITCHING_PROTOCOLS:
                return self._judge(head)
            if head.status >= 200:
                self._refusal = head
            else:
                self._interim += end.end()
                self._seen = 0
        return self._refused() if self._body_is_over() else None

    def cut_off(self) -> OnesocketError:
        """Return the error after the end of the stream, or after the deadline for a refusal's body."""
        if self._refusal is not None:
            return self._refused()
        return self._refused_so_far() or self._no_answer()

    # --- the head ---------------------------------------------------------------------------------------------------

    def _judge(self, head: ResponseHead) -> AcceptedHandshake | InvalidHandshake:
        if head.version != "1.1":
            return self._invalid("it accepted, but not by HTTP/1.1")
        headers = head.headers
        if not head.is_valid:
            return self._invalid("a header of its answer is malformed")
        wrong = self._wrong_header(headers)
        if wrong is not None:
            return self._invalid(f"its header {wrong} is missing or wrong")
        if not self._extensions and any(header_values(headers, "sec-websocket-extensions")):
            return InvalidHandshake("the server switched on an extension that was not offered")
        chosen = header_values(headers, "sec-websocket-protocol")
        offered = self._request.subprotocols
        if len(chosen) > 1:
            return InvalidHandshake(f"the server chose {len(chosen)} sub-protocols instead of one")
        if any(name not in offered for name in chosen):
            return InvalidHandshake(f"the server chose a sub-protocol that was not offered (offered: {list(offered)})")
        return AcceptedHandshake(headers, chosen[0] if chosen else None, bytes(self._raw))

    def _wrong_header(self, headers: Headers) -> str | None:
        """Return the name of the first header that violates RFC 6455, section 4.1."""
        if [value.lower() for value in header_values(headers, "upgrade")] != ["websocket"]:
            return "upgrade"
        if "upgrade" not in header_tokens(header_values(headers, "connection")):
            return "connection"
        if header_values(headers, "sec-websocket-accept") != [accept_value(self._key)]:
            return "sec-websocket-accept"
        # A body would be parsed as frames.
        if any(value.strip("0") for value in header_values(headers, "content-length")):
            return "content-length"
        return "transfer-encoding" if header_values(headers, "transfer-encoding") else None

    def _invalid(self, why: str) -> InvalidHandshake:
        return InvalidHandshake(f"{self._request.address.host_port} did not answer with a WebSocket upgrade: {why}")

    def _no_answer(self) -> ConnectionReset:
        address = self._request.address
        if address.secure:
            hint = "; a server that wants a client certificate does so with TLS 1.3: ssl= (SSLContext.load_cert_chain)"
        else:
            hint = "" if address.unix_path else "; if that port speaks TLS, use wss:// instead of ws://"
        return ConnectionReset(f"{address.host_port} ended the connection before it answered the upgrade{hint}")

    # --- a refusal --------------------------------------------------------------------------------------------------

    def _body_is_over(self) -> bool:
        if self._refusal is None or len(self._raw) >= _MAX_BODY:
            return True
        if self._refusal.status in (204, 304):
            return True
        if self._is_chunked(self._refusal):
            return _dechunk(bytes(self._raw))[1]
        lengths = header_values(self._refusal.headers, "content-length")
        # Python refuses to read numbers of thousands of digits.
        return bool(lengths) and lengths[0].isdecimal() and len(lengths[0]) < 10 and len(self._raw) >= int(lengths[0])

    def _refused_so_far(self) -> OnesocketError | None:
        """Return the refusal whose head is incomplete, if its status line is one."""
        head = ResponseHead.parse(bytes(self._raw)) if b"\n" in self._raw else None
        if head is None or head.status < 200:
            return None
        self._refusal = head
        self._raw.clear()
        return self._refused()

    def _refused(self) -> OnesocketError:
        if self._refusal is None:
            raise RuntimeError("the response is no refusal")
        head, body = self._refusal, bytes(self._raw)
        if self._is_chunked(head):
            body, _ = _dechunk(body)
        headers = head.headers
        location = next(iter(header_values(headers, "location")), None) if 300 <= head.status < 400 else None
        error = handshake_rejected(
            head.status,
            dict(headers),
            "" if any(header_values(headers, "content-encoding")) else self._shown(body.decode("utf-8", "replace")),
            location=None if location is None else self._shown(redact(self._absolute(location))),
        )
        if isinstance(error, HandshakeRejected):
            error.location = location
        return error

    def _absolute(self, location: str) -> str:
        try:
            return urljoin(self._request.url, location)
        except ValueError:
            return location

    def _shown(self, text: str) -> str:
        """Return the beginning of a text of the server on one line, without the secrets of the request."""
        text = "".join(character if character.isprintable() else " " for character in text.strip())
        text = self._request.scrub(text)
        return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"

    def _is_chunked(self, head: ResponseHead) -> bool:
        return "chunked" in header_tokens(header_values(head.headers, "transfer-encoding"))


def accept_value(key: str) -> str:
    """Return the Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()).decode("ascii")


def _dechunk(raw: bytes) -> tuple[bytes, bool]:
    """Return the received part of a chunked body (RFC 9112, section 7.1), and whether it is complete."""
    body, place = b"", 0
    while (chunk := _CHUNK.match(raw, place)) is not None:
        size = int(chunk[1], 16)
        if size == 0:
            return body, True
        body += raw[chunk.end() : chunk.end() + size]
        place = chunk.end() + size
        place += 2 if raw.startswith(b"\r\n", place) else raw.startswith(b"\n", place)
    return body, False
