"""Where a token goes in the upgrade request. Into the first message: that is a `Login`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Protocol

from ..urls import with_query
from ..wire._handshake import DialRequest


class TokenPlace(Protocol):
    """Puts a token into the upgrade request."""

    def put(self, request: DialRequest, token: str) -> DialRequest:
        """`request` with the token in it."""
        ...


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """In a header: ``Authorization: Bearer …`` unless told otherwise."""

    name: str = "Authorization"
    prefix: str = "Bearer "

    def put(self, request: DialRequest, token: str) -> DialRequest:
        """`request` with the header added; one of the same name is replaced."""
        headers = [pair for pair in request.headers if pair[0].lower() != self.name.lower()]
        return dataclasses.replace(request, headers=(*headers, (self.name, self.prefix + token)))


@dataclass(frozen=True, slots=True)
class TokenQuery:
    """In the query string of the URL: ``?token=…`` unless told otherwise."""

    name: str = "token"

    def put(self, request: DialRequest, token: str) -> DialRequest:
        """`request` with the query parameter added; one of the same name is replaced."""
        return dataclasses.replace(request, url=with_query(request.url, self.name, token))
