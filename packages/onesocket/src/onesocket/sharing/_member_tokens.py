"""The token of a connection whose members bring token sources: whoever is still there is asked."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from ..client._identity_token import Superseded
from ..client._options import TokenSource, check_token
from ..client._secret import Secret
from ..client._user_code import call_user_function
from ..errors import ClientClosed, OnesocketError, TokenFailed
from ._cross_loop_call import call_on_loop
from ._loop_inbox import LoopInbox, inbox_of

# A member that hasn't answered after so many seconds may be busy: the next one is asked, too.
_HEDGE_DELAY: Final = 1.0


class TokenMember(Protocol):
    """A member, as far as its token goes."""

    @property
    def loop_inbox(self) -> LoopInbox:
        """Of the loop that its token source belongs to."""
        ...

    @property
    def token_source(self) -> TokenSource | None:
        """None: it brought none, or nobody holds it any more."""
        ...


class MemberTokens:
    """A token source for the client: asks the members' sources, each on its member's loop, and the newest first.

    It belongs to the owner loop. The first token wins. A member whose source fails or has none is passed over, one that
    doesn't answer is asked last the next time. `Superseded` means that the member is about to leave: if nobody else is
    there, the question waits for the connection to be closed, or for somebody new.
    """

    def __init__(self) -> None:
        self._token_members: dict[TokenMember, None] = {}
        self._came = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Tokens of {len(self._token_members)}>"

    def add(self, giver: TokenMember) -> None:
        """One more to ask; or it's there already, and is to be asked first."""
        self.discard(giver)
        self._token_members[giver] = None
        self._came.set()

    def discard(self, giver: TokenMember) -> None:
        """It has left."""
        self._token_members.pop(giver, None)

    async def ask(self) -> str | None:
        """A token, or None if those who were asked say that there is none; the client's `open_timeout` bounds it.

        Raises what a source raised (if any, what trying again may help against), or `TokenFailed`.
        """
        question = _TokenLookup()
        try:
            while True:
                self._came.clear()
                giver = next((giver for giver in reversed(self._token_members) if question.is_new(giver)), None)
                if giver is not None:
                    question.ask_member(giver)
                elif question.is_answered:
                    question.check()
                    return None
                elif not question.under_way:
                    await self._came.wait()
                await question.wait()
                for leaver in question.leavers:
                    self.discard(leaver)
                if question.token is not None:
                    return question.token
        finally:
            self._deprioritize(question.give_up())

    def _deprioritize(self, silent: list[TokenMember]) -> None:
        late = [giver for giver in silent if giver in self._token_members]
        if late:
            self._token_members = dict.fromkeys([*late, *(giver for giver in self._token_members if giver not in late)])


class _TokenLookup:
    """One question, to as many as it takes."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.leavers: list[TokenMember] = []
        self._asked: dict[TokenMember, asyncio.Task[Secret] | None] = {}
        self._has_none = False
        self._failure: BaseException | None = None

    def is_new(self, giver: TokenMember) -> bool:
        """Whether it wasn't asked yet."""
        return giver not in self._asked

    def ask_member(self, giver: TokenMember) -> None:
        """Ask this one, too."""
        source = giver.token_source
        self._asked[giver] = None
        if source is not None:
            loop = asyncio.get_running_loop()
            self._asked[giver] = loop.create_task(
                _fetch_token(giver.loop_inbox, source), name="onesocket asks for a token"
            )

    @property
    def under_way(self) -> list[asyncio.Task[Secret]]:
        """Those who haven't answered."""
        return [task for task in self._asked.values() if task is not None]

    @property
    def is_answered(self) -> bool:
        """Whether everybody answered, and somebody will still be there."""
        return not self.under_way and len(self._asked) > len(self.leavers)

    def check(self) -> None:
        """Raise why there is no token, unless there is to be none."""
        if self._failure is not None:
            raise self._failure
        if not self._has_none:
            raise TokenFailed("nobody who shares this connection has a token source any more", retryable=True)

    async def wait(self) -> None:
        """For the next answer, or until patience ends."""
        under_way = self.under_way
        if under_way:
            await asyncio.wait(under_way, timeout=_HEDGE_DELAY, return_when=asyncio.FIRST_COMPLETED)
        for giver, task in self._asked.items():
            if task is not None and task.done():
                self._asked[giver] = None
                self._take(giver, task)

    def _take(self, giver: TokenMember, task: asyncio.Task[Secret]) -> None:
        error = task.exception()
        if error is None:
            token = task.result().value
            self._has_none |= token is None
            self.token = self.token or token
        elif isinstance(error, Superseded):
            self.leavers.append(giver)
        elif self._failure is None or (_is_retryable(error) and not _is_retryable(self._failure)):
            self._failure = error

    def give_up(self) -> list[TokenMember]:
        """Those who haven't answered need not; returns them."""
        silent = [giver for giver, task in self._asked.items() if task is not None]
        for task in self.under_way:
            task.cancel()
        return silent


def _is_retryable(error: BaseException) -> bool:
    return error.retryable if isinstance(error, OnesocketError) else True


async def _fetch_token(there: LoopInbox, source: TokenSource) -> Secret:
    here = inbox_of(asyncio.get_running_loop())
    try:
        return await call_on_loop(there, here, lambda: _call_source(source), {})
    except ClientClosed as error:
        raise TokenFailed("a token source was cancelled, or its event loop has ended", retryable=True) from error
    except (KeyboardInterrupt, SystemExit) as error:
        # That ends the loop of whoever brought the source, not ours.
        raise TokenFailed(f"a token source raised {type(error).__name__}", retryable=True) from error


async def _call_source(source: TokenSource) -> Secret:
    value = await call_user_function(source, "a token source")
    return Secret(None if value is None else check_token(value))
