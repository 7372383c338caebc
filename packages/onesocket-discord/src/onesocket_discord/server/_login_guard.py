"""Bounds how many unknown tokens one address may try, at the HTTP API and the gateway together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ._ports import Account, Directory
from ._window_table import RateLimit, WindowTable

UNKNOWN_TOKEN_LIMIT: Final = RateLimit(600, 60.0)
"""For each address: more than programs do that go on with a token that became void."""
_MAX_ADDRESSES: Final = 100_000


class UnknownTokenLimit(Exception):
    """An address has tried too many unknown tokens."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after
        """Seconds until the next one is looked up."""


class LoginGuard:
    """Looks tokens up, each in the database unless it is remembered, and refuses to for addresses that guess.

    Tokens that are remembered are never refused, so users go on who share the address of one who guesses.
    """

    def __init__(self, limit: RateLimit = UNKNOWN_TOKEN_LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._unknown = WindowTable(_MAX_ADDRESSES)

    def __repr__(self) -> str:
        return f"<LoginGuard {len(self._unknown)} addresses>"

    async def authenticate(self, directory: Directory, token: str, network: str) -> Account | None:
        """Return the account of a token; None if it is unknown, which counts. Raises `UnknownTokenLimit`.

        `network`: the part of the client's address by which limits count.
        """
        window = self._unknown.find(network, self._clock())
        if window is not None and window.used >= self._limit.requests and not directory.is_remembered(token):
            raise UnknownTokenLimit(window.ends - self._clock())
        account = await directory.authenticate(token)
        if account is None:
            self._unknown.open(network, self._clock(), self._limit.window).used += 1
        return account
