"""Places of a token in the upgrade request. A token in the first message is a `Login`."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from .._record import record
from ..urls import with_query
from ..wire._handshake import DialRequest


class TokenPlace(Protocol):
    """Puts a token into the upgrade request."""

    def put(self, request: DialRequest, token: str) -> DialRequest:
        """Return `request` with the token added."""
        ...


@record
class TokenHeader:
    """Token in a header, by default ``Authorization: Bearer …``."""

    name: str = "Authorization"
    prefix: str = "Bearer "

    def put(self, request: DialRequest, token: str) -> DialRequest:
        """Return `request` with the header added; one of the same name is replaced."""
        headers = [pair for pair in request.headers if pair[0].lower() != self.name.lower()]
        return dataclasses.replace(request, headers=(*headers, (self.name, self.prefix + token)))


@record
class TokenQuery:
    """Token in the query of the URL, by default ``?token=…``."""

    name: str = "token"

    def put(self, request: DialRequest, token: str) -> DialRequest:
        """Return `request` with the query parameter added; one of the same name is replaced."""
        return dataclasses.replace(request, url=with_query(request.url, self.name, token))
