"""The token of a connection whose members bring token sources: those that are still there are asked."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from ..client._identity_token import Superseded
from ..client._options import check_token
from ..client._secret import Secret
from ..client._token_source import TokenSource, call_token_source
from ..client._user_code import call_user_function
from ..errors import ClientClosed, OnesocketError, TokenFailed
from ._cross_loop_call import call_on_loop
from ._loop_inbox import LoopInbox, inbox_of

_HEDGE_DELAY: Final = 1.0
"""Seconds after which the next member is asked, too: the one before may be busy."""


class TokenMember(Protocol):
    """A member, as far as its token goes."""

    @property
    def loop_inbox(self) -> LoopInbox:
        """The inbox of the loop that its token source belongs to."""
        ...

    @property
    def token_source(self) -> TokenSource | None:
        """Its token source; None: it brought none, or its client is forgotten."""
        ...


class MemberTokens:
    """A token source for the client: asks the members' sources, each on its member's loop, and the newest first.

    It belongs to the host loop. The first token wins. A member whose source fails or has none is passed over, one that
    doesn't answer is asked last the next time. `Superseded` means that the member is about to leave: if there is no
    other, the lookup waits for the connection to be closed, or for a new member.
    """

    def __init__(self) -> None:
        self._token_members: dict[TokenMember, None] = {}
        self._added = asyncio.Event()

    def __repr__(self) -> str:
        return f"<MemberTokens of {len(self._token_members)}>"

    def add(self, member: TokenMember) -> None:
        """Add a member, or have it asked first if it is there already."""
        self.discard(member)
        self._token_members[member] = None
        self._added.set()

    def enter_loop(self) -> None:
        """Belong to the running loop from now on."""
        self._added = asyncio.Event()

    def discard(self, member: TokenMember) -> None:
        """Remove a member."""
        self._token_members.pop(member, None)

    async def ask(self, previous: str | None = None, error: OnesocketError | None = None) -> str | None:
        """A token, or None if the members say that there is none; the client's `open_timeout` bounds it.

        `previous`, `error`: the token that the peer refused, and why. The members' sources are told; another token
        wins over that one. Raises the error of a source, preferably a retryable one, or `TokenFailed`.
        """
        lookup = _TokenLookup(previous, error)
        try:
            while True:
                self._added.clear()
                member = next((member for member in reversed(self._token_members) if lookup.is_new(member)), None)
                if member is not None:
                    lookup.ask_member(member)
                elif lookup.is_answered:
                    lookup.check()
                    return lookup.refused_again
                elif not lookup.under_way:
                    await self._added.wait()
                await lookup.wait()
                for leaver in lookup.leavers:
                    self.discard(leaver)
                if lookup.token is not None:
                    return lookup.token
        finally:
            self._deprioritize(lookup.give_up())

    def _deprioritize(self, silent: list[TokenMember]) -> None:
        late = [member for member in silent if member in self._token_members]
        if late:
            self._token_members = dict.fromkeys(
                [*late, *(member for member in self._token_members if member not in late)]
            )


class _TokenLookup:
    """One lookup of a token, which asks members until one has it."""

    def __init__(self, previous: str | None, error: OnesocketError | None) -> None:
        self.token: str | None = None
        self.refused_again: str | None = None
        """The refused token, if a source gave it again."""
        self._previous = previous
        self._refusal = error
        self.leavers: list[TokenMember] = []
        self._asked: dict[TokenMember, asyncio.Task[Secret] | None] = {}
        self._has_none = False
        self._failure: BaseException | None = None

    def is_new(self, member: TokenMember) -> bool:
        """True if it wasn't asked yet."""
        return member not in self._asked

    def ask_member(self, member: TokenMember) -> None:
        """Ask this member, too."""
        source = member.token_source
        self._asked[member] = None
        if source is not None:
            loop = asyncio.get_running_loop()
            self._asked[member] = loop.create_task(
                _fetch_token(member.loop_inbox, source, self._previous, self._refusal),
                name="onesocket asks for a token",
            )

    @property
    def under_way(self) -> list[asyncio.Task[Secret]]:
        """The tasks of members that haven't answered."""
        return [task for task in self._asked.values() if task is not None]

    @property
    def is_answered(self) -> bool:
        """True if all members answered, and one of them will still be there."""
        return not self.under_way and len(self._asked) > len(self.leavers)

    def check(self) -> None:
        """Raise the error that kept the lookup from a token, unless there is to be none."""
        if self.refused_again is not None:
            return
        if self._failure is not None:
            raise self._failure
        if not self._has_none:
            raise TokenFailed("no client that shares this connection has a token source any more", retryable=True)

    async def wait(self) -> None:
        """Wait for the next answer, or until the next member is to be asked."""
        under_way = self.under_way
        if under_way:
            await asyncio.wait(under_way, timeout=_HEDGE_DELAY, return_when=asyncio.FIRST_COMPLETED)
        for member, task in self._asked.items():
            if task is not None and task.done():
                self._asked[member] = None
                self._take(member, task)

    def _take(self, member: TokenMember, task: asyncio.Task[Secret]) -> None:
        error = task.exception()
        if error is None:
            token = task.result().value
            self._has_none |= token is None
            if self._refusal is not None and token == self._previous:
                self.refused_again = token
            else:
                self.token = self.token or token
        elif isinstance(error, Superseded):
            self.leavers.append(member)
        elif self._failure is None or (_is_retryable(error) and not _is_retryable(self._failure)):
            self._failure = error

    def give_up(self) -> list[TokenMember]:
        """Cancel the members that haven't answered; returns them."""
        silent = [member for member, task in self._asked.items() if task is not None]
        for task in self.under_way:
            task.cancel()
        return silent


def _is_retryable(error: BaseException) -> bool:
    return error.retryable if isinstance(error, OnesocketError) else True


async def _fetch_token(
    there: LoopInbox, source: TokenSource, previous: str | None, refusal: OnesocketError | None
) -> Secret:
    here = inbox_of(asyncio.get_running_loop())
    try:
        return await call_on_loop(there, here, lambda: _call_source(source, previous, refusal), {})
    except ClientClosed as error:
        raise TokenFailed("a token source was cancelled, or its event loop has ended", retryable=True) from error
    except (KeyboardInterrupt, SystemExit) as error:
        # That ends the loop of the client that brought the source, not the host loop.
        raise TokenFailed(f"a token source raised {type(error).__name__}", retryable=True) from error


async def _call_source(source: TokenSource, previous: str | None, refusal: OnesocketError | None) -> Secret:
    value = await call_user_function(lambda: call_token_source(source, previous, refusal), "a token source")
    return Secret(None if value is None else check_token(value))
