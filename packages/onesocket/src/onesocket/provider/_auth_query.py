"""Asks the auth callback: one call at a time, with a timeout, whatever the callback does."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from ..client._token_source import call_token_source
from ..client._user_code import call_user_function, mark_unwrapped
from ..errors import AuthTimeout, OnesocketError, TokenFailed
from ..notices import ConnectionNotices
from ._identity import Auth, Identity, as_identity
from ._single_flight import SingleFlight, cancel_task


class AuthQuery:
    """Calls the auth callback; callers that ask during a call join it.

    `timeout` is in seconds; `keep` gets every task, so that none is garbage-collected while it runs.
    """

    def __init__(
        self, auth: Auth, timeout: float, notices: ConnectionNotices, keep: Callable[[asyncio.Task[Any]], None]
    ) -> None:
        self._auth = auth
        self._timeout = timeout
        self._notices = notices
        self._keep = keep
        self._round = 0  # an answer to a call of an earlier round is out of date
        self._call: _AuthCall | None = None

    async def ask(self, previous: str | None = None, refusal: OnesocketError | None = None) -> Identity | None:
        """Return the identity that is signed in now; `previous`, `refusal`: the token that was refused, and why.

        Raises `TokenFailed` (the callback raised, or returned a wrong type) or `AuthTimeout`.
        """
        while True:
            if self._call is None or self._call.is_over:
                self._call = _AuthCall(self, self._round, previous, refusal)
                self._keep(self._call.task)
            call = self._call
            try:
                identity = await call.join()
            except OnesocketError:
                if call.round == self._round:
                    raise
            else:
                if call.round == self._round:
                    return identity

    def invalidate(self) -> None:
        """Make a call under way out of date: its callers ask again."""
        self._round += 1
        self._call = None

    def abort(self, error: OnesocketError) -> None:
        """Abort a call under way; all its callers get this error."""
        if self._call is not None:
            self._call.abort(error)

    async def answer(self, asked_in: int, previous: str | None, refusal: OnesocketError | None) -> Identity | None:
        """Call the callback, and post or withdraw the notices of its outcome."""
        # Not asyncio.timeout: a callback that refuses to be cancelled must not delay the callers.
        call = asyncio.get_running_loop().create_task(self._call_auth(previous, refusal), name="onesocket calls auth")
        self._keep(call)
        try:
            try:
                await asyncio.wait((call,), timeout=self._timeout)
            finally:
                cancel_task(call)
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

    async def _call_auth(self, previous: str | None, refusal: OnesocketError | None) -> Identity | None:
        call = functools.partial(call_token_source, self._auth, previous, refusal)
        return as_identity(await call_user_function(call, "the auth callback"))


class _AuthCall(SingleFlight[Identity | None]):
    """One call of the callback."""

    def __init__(self, query: AuthQuery, asked_in: int, previous: str | None, refusal: OnesocketError | None) -> None:
        self.round = asked_in
        super().__init__(query.answer(asked_in, previous, refusal), "onesocket asks for the identity")
