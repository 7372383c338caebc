"""The token of a connection whose members bring token sources: whoever is still there is asked."""

from __future__ import annotations

import asyncio
import inspect
from typing import Final, Protocol

from ..client.options import TokenSource
from ..errors import ClientClosed, TokenFailed
from ..provider.joint import Superseded
from .errand import fetch
from .mailbox import Mailbox, mailbox_of

# A member that hasn't answered after so many seconds may be busy: the next one is asked, too.
_PATIENCE: Final = 2.0


class Giver(Protocol):
    """A member, as far as its token goes."""

    @property
    def mailbox(self) -> Mailbox:
        """Of the loop that its token source belongs to."""
        ...

    @property
    def token_source(self) -> TokenSource | None:
        """None: it brought none."""
        ...


class Tokens:
    """A token source for the client: asks the members' sources, the newest first, each on its member's loop.

    It belongs to the owner loop. The first token wins. A member whose source fails is passed over, and if all fail, the
    first error is raised. `Superseded` means that the member is about to leave: it isn't asked again, and when nobody
    is left, the question waits for the connection to be closed, or for somebody new.
    """

    def __init__(self) -> None:
        self._givers: dict[Giver, None] = {}
        self._came = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Tokens of {len(self._givers)}>"

    def add(self, giver: Giver) -> None:
        """One more to ask."""
        self._givers[giver] = None
        self._came.set()

    def discard(self, giver: Giver) -> None:
        """It has left."""
        self._givers.pop(giver, None)

    async def ask(self) -> str | None:
        """A token; what the client's `open_timeout` is for, bounds it."""
        asked: dict[asyncio.Task[str | None], Giver] = {}
        failure: BaseException | None = None
        try:
            while True:
                self._came.clear()
                new = next((giver for giver in reversed(self._givers) if giver not in asked.values()), None)
                if new is not None:
                    asked[asyncio.get_running_loop().create_task(_ask(new), name="onesocket asks for a token")] = new
                under_way = [task for task in asked if not task.done()]
                if not under_way and failure is not None:
                    raise failure
                if not under_way:
                    await self._came.wait()
                    continue
                done, _ = await asyncio.wait(under_way, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
                for task, error in [(task, task.exception()) for task in done]:
                    if error is None:
                        return task.result()
                    if isinstance(error, Superseded):
                        self.discard(asked[task])
                    elif failure is None:
                        failure = error
        finally:
            for task in asked:
                task.cancel()


async def _ask(giver: Giver) -> str | None:
    source = giver.token_source
    if source is None:
        raise Superseded  # it has none, or nobody holds it any more
    try:
        return await fetch(giver.mailbox, mailbox_of(asyncio.get_running_loop()), lambda: _call(source), {})
    except ClientClosed as error:
        raise TokenFailed("a token source was cancelled, or its event loop has ended", retryable=True) from error


async def _call(source: TokenSource) -> str | None:
    value = source()
    return await value if inspect.isawaitable(value) else value
