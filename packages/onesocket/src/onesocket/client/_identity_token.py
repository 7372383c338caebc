"""The token source that names its identity, so that requests of several providers can mean the same connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..errors import ConnectAborted, OnesocketError, TokenFailed
from ._secret import Secret
from ._user_code import mark_unwrapped


class Superseded(ConnectAborted):
    """A token source of a member that is about to leave the connection: another member is asked instead."""

    def __init__(self, text: str = "a login() took its place") -> None:
        super().__init__(text)
        mark_unwrapped(self)


class IdentityToken:
    """The token source that a provider's `make_client` gets: equal keys mean the same identity, in every provider."""

    def __init__(self, key: str, ask: Callable[[str | None, OnesocketError | None], Awaitable[str]]) -> None:
        self.key = key
        """The key of the `Identity` that it gives tokens for."""
        self._ask = ask
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return "<IdentityToken>"

    async def __call__(self, previous: str | None = None, error: OnesocketError | None = None) -> str:
        """A token for one attempt, asked for on the loop that made this object, in whatever loop it is called.

        `previous` and `error`: the token that was refused, and why; the auth callback is told.
        """
        if asyncio.get_running_loop() is self._loop:
            return await self._ask(previous, error)
        question = _as_secret(self._ask(previous, error))
        try:
            answer = asyncio.run_coroutine_threadsafe(question, self._loop)
        except RuntimeError as failure:
            question.close()
            raise TokenFailed("the event loop of the provider has ended", retryable=True) from failure
        return str((await asyncio.wrap_future(answer)).value)


async def _as_secret(answer: Awaitable[str]) -> Secret:
    return Secret(await answer)
