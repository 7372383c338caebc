"""Redaction of a connection: its messages without the secrets of its request."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any, Final
from typing import Protocol as TypingProtocol
from urllib.parse import urlsplit

from ..protocols._protocol import Protocol, implements
from ..wire._handshake import Data, DialRequest
from ..wire._secrets import Secrets, request_secrets
from ._lines import WITHHELD, content


class Redact(TypingProtocol):
    """The method `redact` of a protocol."""

    def __call__(self, data: Data, *, outgoing: bool) -> Data | None:
        """Return the message without secrets; None: it may not be shown."""


# Values of these headers of a response are no secrets, and a replay needs them.
_PUBLIC_HEADERS: Final = ("sec-websocket-extensions", "sec-websocket-protocol")
# Characters. Messages may have a shorter value of a query by chance: it may be the name of a feed.
_MIN_QUERY_VALUE: Final = 16
_MAX_REQUESTS: Final = 100
HOOK_ERRORS: Final = (Exception, asyncio.CancelledError, GeneratorExit)
"""Exceptions of a function of the program that must not harm the connection."""


class KnownSecrets:
    """The secrets of a client's newest requests: a message may hold the token of the connection before, or the next."""

    def __init__(self) -> None:
        self._newest: tuple[frozenset[str], ...] = ()
        self._found: tuple[tuple[frozenset[str], ...], Secrets] = self._newest, Secrets(())

    def __repr__(self) -> str:
        return f"<KnownSecrets {len(self._newest)}>"

    def add(self, own: frozenset[str]) -> None:
        """Add those of another request, unless an earlier one had the same."""
        if own not in self._newest:
            self._newest = (*self._newest, own)[-_MAX_REQUESTS:]

    def newest(self) -> tuple[tuple[frozenset[str], ...], Secrets]:
        """The secrets of each request, and of all together; in any thread."""
        newest = self._newest
        if self._found[0] is not newest:
            self._found = newest, Secrets(chain.from_iterable(newest))
        return self._found


class Redaction:
    """Rules for one connection; `redact`: that of its protocol, if it has one."""

    def __init__(self, request: DialRequest, redact: Redact | None, known: KnownSecrets) -> None:
        self._redact = redact
        self._own = _secrets_of(request)
        self._known = known
        self._of_old_connection = known.newest()
        known.add(self._own)

    def __repr__(self) -> str:
        return f"<Redaction {'of the protocol' if self._redact else 'by default'}>"

    def message(self, data: Data, *, outgoing: bool, in_login: bool) -> dict[str, str]:
        """The fields of the line of a message."""
        if self._redact is None:
            return content(None, "login") if in_login else self._without_secrets(data)
        try:
            shown: Any = self._redact(data, outgoing=outgoing)
            if isinstance(shown, str):
                shown.encode()
        except HOOK_ERRORS as error:  # the protocol is the user's: what it can't redact isn't written
            return content(None, f"redact() raised {type(error).__name__}")
        if shown is None:
            return content(None, "protocol")
        if not isinstance(shown, str | bytes):
            return content(None, f"redact() returned {type(shown).__name__}")
        return self._without_secrets(shown)

    def _without_secrets(self, data: Data) -> dict[str, str]:
        if isinstance(data, str):
            return content(self.text(data))
        return content(None, "secret") if self._secrets.are_in(data) else content(data)

    def text(self, text: str) -> str:
        """The text without the secrets of the request."""
        return self._secrets.mask(text)

    def headers(self, headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
        """The headers of a response, most of them without their values."""
        return [(name, self.text(value) if name in _PUBLIC_HEADERS else WITHHELD) for name, value in headers]

    @property
    def _secrets(self) -> Secrets:
        newest, found = self._known.newest()
        if self._own in newest:
            return found
        if self._of_old_connection[0] is not newest:
            self._of_old_connection = newest, Secrets(chain(self._own, *newest))
        return self._of_old_connection[1]


def _secrets_of(request: DialRequest) -> frozenset[str]:
    parts = urlsplit(request.url)
    secrets = {*request.secrets, *request_secrets(parts._replace(query="").geturl(), request.headers)}
    return frozenset(secrets | {value for value in request_secrets(request.url, ()) if len(value) >= _MIN_QUERY_VALUE})


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
