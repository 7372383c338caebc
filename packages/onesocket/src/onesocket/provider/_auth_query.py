"""Asks the auth callback: one question at a time, bounded, whatever the callback does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..client._user_code import call_user_function, mark_unwrapped
from ..errors import AuthTimeout, OnesocketError, TokenFailed
from ..notices import ConnectionNotices
from ._identity import Auth, Identity, as_identity
from ._single_flight import SingleFlight


class AuthQuery:
    """The question of who is signed in; who asks while it's being asked joins.

    `timeout` is in seconds; `keep` is told of every task, so that none is lost while it runs.
    """

    def __init__(
        self, auth: Auth, timeout: float, say: ConnectionNotices, keep: Callable[[asyncio.Task[Any]], None]
    ) -> None:
        self._auth = auth
        self._timeout = timeout
        self._notices = say
        self._keep = keep
        self._round = 0  # an answer to an earlier round is out of date
        self._auth_call: _AuthCall | None = None

    async def ask(self) -> Identity | None:
        """Who is signed in now.

        Raises `TokenFailed` (the callback raised, or gave something else) or `AuthTimeout`.
        """
        while True:
            if self._auth_call is None or self._auth_call.is_over:
                self._auth_call = _AuthCall(self, self._round)
                self._keep(self._auth_call.task)
            question = self._auth_call
            try:
                identity = await question.join()
            except OnesocketError:
                if question.round == self._round:
                    raise
            else:
                if question.round == self._round:
                    return identity

    def invalidate(self) -> None:
        """Something happened that makes the answer under way worthless: who waits for it asks again."""
        self._round += 1
        self._auth_call = None

    def give_up(self, error: OnesocketError) -> None:
        """Everybody who waits for an answer gets this error."""
        if self._auth_call is not None:
            self._auth_call.give_up(error)

    async def answer(self, asked_in: int) -> Identity | None:
        """Call the callback, and give notice of what comes of it."""
        # Not asyncio.timeout: a callback that refuses to be cancelled must not hold us up.
        call = asyncio.get_running_loop().create_task(self._call(), name="onesocket asks auth")
        self._keep(call)
        try:
            try:
                await asyncio.wait((call,), timeout=self._timeout)
            finally:
                call.cancel()
            if not call.done():
                raise mark_unwrapped(AuthTimeout(f"the auth callback gave no answer within {self._timeout:g} s"))
            if call.cancelled():
                raise TokenFailed("the auth callback was cancelled", retryable=True)
            identity = call.result()
        except OnesocketError as error:
            if asked_in == self._round:
                self._notices.sign_in_failed(error)
            raise
        if asked_in == self._round:
            self._notices.auth_answered(signed_in=identity is not None)
        return identity

    async def _call(self) -> Identity | None:
        return as_identity(await call_user_function(self._auth, "the auth callback"))


class _AuthCall(SingleFlight[Identity | None]):
    """One call of the callback."""

    def __init__(self, asking: AuthQuery, asked_in: int) -> None:
        self.round = asked_in
        super().__init__(asking.answer(asked_in), "onesocket asks who is signed in")
