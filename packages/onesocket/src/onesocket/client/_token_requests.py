"""Asks for the tokens of a client's attempts, and tells their source of one that was refused."""

from __future__ import annotations

from ..errors import OnesocketError
from ._options import Token, check_token
from ._token_source import call_token_source
from ._user_code import call_user_function


class TokenUnchanged(Exception):
    """The source gave the token that was refused with `refusal`: the server isn't asked again with it."""

    def __init__(self, refusal: OnesocketError) -> None:
        super().__init__()
        self.refusal = refusal


class TokenRequests:
    """The token of each attempt of one client: a str, or the answers of a source."""

    __slots__ = ("_last", "_refusal", "_refused", "_token", "wants_another")

    def __init__(self, token: Token | None) -> None:
        self._token = token
        self._last: str | None = None
        self._refused: str | None = None
        self._refusal: OnesocketError | None = None
        """The error with which the peer refused that token; None: it has refused none since one was accepted."""
        self.wants_another = False
        """True while the peer isn't asked again with the token that it refused; False: as the caller wants it."""

    def __repr__(self) -> str:
        return f"<TokenRequests refused={self._refusal is not None}>"

    @property
    def is_fresh(self) -> bool:
        """True if the newest token isn't the one that was refused."""
        return self._refusal is None or self._last != self._refused

    async def ask(self) -> str | None:
        """The token of the next attempt; None: there is none. Raises `TokenUnchanged`, and as `call_user_function`."""
        source = self._token
        if callable(source):
            answer = await call_user_function(lambda: call_token_source(source, self._refused, self._refusal))
        else:
            answer = source
        self._last = None if answer is None else check_token(answer)
        if self.wants_another and self._refusal is not None and self._last == self._refused:
            raise TokenUnchanged(self._refusal)
        return self._last

    def refused(self, error: OnesocketError) -> None:
        """The peer refused the newest token; there may be none, as where the source failed."""
        if self._last is not None:
            self._refused, self._refusal = self._last, error

    def accepted(self) -> None:
        """The peer accepted the newest token."""
        self._refused = self._refusal = None
