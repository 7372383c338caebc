"""Redaction of a connection: its messages without the secrets of its request."""

from __future__ import annotations

import json
from typing import Final
from typing import Protocol as TypingProtocol
from urllib.parse import parse_qsl, urlsplit

from ..protocols._protocol import Protocol, implements
from ..wire._handshake import Data, DialRequest
from ..wire._secrets import encoded_forms, mask_secrets, request_secrets
from ._lines import WITHHELD, content


class Redact(TypingProtocol):
    """The method `redact` of a protocol."""

    def __call__(self, data: Data, *, outgoing: bool) -> Data | None:
        """Return the message without secrets; None: it may not be shown."""


# Values of these headers of a response are no secrets, and a replay needs them.
_PUBLIC_HEADERS: Final = ("sec-websocket-extensions", "sec-websocket-protocol")
# Characters. Messages may have a shorter value of a query by chance: it may be the name of a feed.
_MIN_QUERY_VALUE: Final = 16
_MIN_SECRET: Final = 5


class Redaction:
    """Rules for one connection; `redact`: that of its protocol, if it has one."""

    def __init__(self, request: DialRequest, redact: Redact | None) -> None:
        self._redact = redact
        self._request = request
        self._forms: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"<Redaction {'of the protocol' if self._redact else 'by default'}>"

    def message(self, data: Data, *, outgoing: bool, in_login: bool) -> dict[str, str]:
        """The fields of the line of a message."""
        shown: Data | None = data
        if self._redact is None and in_login:
            return content(None, "login")
        if self._redact is not None:
            try:
                shown = self._redact(data, outgoing=outgoing)
            except Exception as error:  # noqa: BLE001 - the protocol is the user's: what it can't redact isn't written
                return content(None, f"redact() raised {type(error).__name__}")
        if shown is None:
            return content(None, "protocol")
        if isinstance(shown, bytes):
            is_secret = any(form.encode() in shown for form in self._secret_forms())
            return content(None, "secret") if is_secret else content(shown)
        return content(self.text(shown))

    def text(self, text: str) -> str:
        """The text without the secrets of the request."""
        return mask_secrets(text, self._secret_forms())

    def headers(self, headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
        """The headers of a response, most of them without their values."""
        return [(name, value if name in _PUBLIC_HEADERS else WITHHELD) for name, value in headers]

    def _secret_forms(self) -> frozenset[str]:
        if self._forms is None:
            request = self._request
            parts = urlsplit(request.url)
            secrets = {*request.secrets, *request_secrets(parts._replace(query="").geturl(), request.headers)}
            secrets |= {value for _, value in parse_qsl(parts.query) if len(value) >= _MIN_QUERY_VALUE}
            quoted = {json.dumps(secret)[1:-1] for secret in secrets}
            forms = encoded_forms(secrets) | quoted | {text.replace("/", "\\/") for text in quoted}
            self._forms = frozenset(form for form in forms if len(form) >= _MIN_SECRET)
        return self._forms


class NoRedaction(Redaction):
    """Everything as it is, for tests against servers of one's own."""

    def message(self, data: Data, *, outgoing: bool, in_login: bool) -> dict[str, str]:
        """The fields of the line of a message."""
        del outgoing, in_login
        return content(data)

    def text(self, text: str) -> str:
        """The text itself."""
        return text

    def headers(self, headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
        """The headers themselves."""
        return list(headers)


def redactor(protocol: Protocol) -> Redact | None:
    """The `redact` of a protocol; None: it has none."""
    return protocol.redact if implements(protocol, Protocol.redact) else None
