"""``onesocket feed``: the session, from the first attempt to the end; a `FeedView` shows what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import Any, Final, Protocol

from ..client import Client, Gap, State, Subscription
from ..errors import OnesocketError, SubscriptionRefused, UsageError
from ..sharing import SharedClient
from ._output import Output
from ._remarks import change_text, show_failure
from ._stop_signal import StopSignal
from ._usage import EXIT_FAILED

# Seconds after a signal to write messages that were received.
_DRAIN_TIMEOUT: Final = 1.0


class FeedView(Protocol):
    """Shows the messages of a feed, and what is missing."""

    last_words: str
    """Written when a second signal ends the command at once."""

    def open(self) -> None:
        """Begin to show."""

    def close(self) -> None:
        """Show the last state, and end."""

    async def message(self, message: Any) -> None:
        """Show a message. Raises BrokenPipeError once stdout has no reader."""

    async def gap(self, gap: Gap) -> None:
        """Show that messages may be missing here."""

    async def refused(self, error: SubscriptionRefused) -> None:
        """Show that keys were refused."""

    def changed(self, state: State) -> None:
        """Show the state of the connection."""


class FeedSession:
    """One run of the command. `run()` returns the exit status; see ``onesocket feed --help``."""

    def __init__(
        self,
        client: Client[Any] | SharedClient[Any],
        keys: Sequence[Hashable],
        view: FeedView,
        output: Output,
        *,
        count: int | None = None,
        wait: float | None = None,
        retry: bool = False,
    ) -> None:
        self._client = client
        self._keys = set(keys)
        """The keys that are not refused."""
        self._view = view
        self._output = output
        self._count = count
        self._wait = wait
        self._retry = retry
        self._shown_count = 0
        self._status = 0
        self._stop = StopSignal(view.last_words)
        # A slow reader of stdout slows the feed down: no message is dropped, and memory is bounded. A feed that is
        # shared with other programs must not be: then the oldest are dropped, which a gap tells.
        overflow = "wait" if isinstance(client, Client) else "drop_oldest"
        self._messages: Subscription[Any] = client.subscribe(keys=tuple(keys), overflow=overflow)

    def __repr__(self) -> str:
        return f"<FeedSession {self._client!r} status={self._status}>"

    async def run(self) -> int:
        """Connect, show what comes, close in order."""
        watcher = asyncio.create_task(self._watch())
        self._view.open()
        try:
            await self._run()
        finally:
            await self._client.aclose()
            await watcher
            self._view.close()
        self._check_count()
        return self._stop.status or self._status

    async def _run(self) -> None:
        stop = asyncio.create_task(self._stop.wait())
        connecting = asyncio.create_task(self._client.connect(retry=self._retry or None))
        reader = asyncio.create_task(self._show_messages())
        try:
            await asyncio.wait({connecting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done() and connecting.exception() is None:
                await asyncio.wait({reader, stop}, timeout=self._wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            await self._client.aclose()
            # A pipe without a reader must not delay the end.
            await asyncio.wait({reader}, timeout=_DRAIN_TIMEOUT)
            reader.cancel()
            await asyncio.wait({connecting, reader})
        error = connecting.exception()
        if isinstance(error, UsageError) and not self._stop.is_set():
            raise error
        if isinstance(error, OnesocketError) and not self._stop.is_set() and not self._status:
            self._fail(error)

    async def _show_messages(self) -> None:
        messages = self._messages
        try:
            while self._shown_count != self._count:
                try:
                    message = await anext(messages)
                except SubscriptionRefused as error:
                    if await self._has_lost_all(error):
                        return
                except StopAsyncIteration:
                    return
                else:
                    await self._show(message)
        except BrokenPipeError:
            self._output.note("stdout has no reader any more")
        except OnesocketError as error:
            if self._client.status.epoch:  # else it is the error of the first attempt, which is shown by `_run`
                self._fail(error)
        except OSError as error:
            self._status = EXIT_FAILED
            self._output.fail(f"a message could not be written to stdout: {error.strerror}")
        finally:
            messages.close()

    async def _show(self, message: Any) -> None:
        if isinstance(message, Gap):
            await self._view.gap(message)
        else:
            await self._view.message(message)
            self._shown_count += 1

    async def _has_lost_all(self, error: SubscriptionRefused) -> bool:
        """Show a refusal; returns True if no key is left."""
        self._output.say(str(error))
        await self._view.refused(error)
        self._keys.difference_update(error.keys)
        if self._keys:
            return False
        self._status = EXIT_FAILED
        self._output.fail("all keys were refused")
        return True

    async def _watch(self) -> None:
        async for change in self._client.changes():
            self._view.changed(change.new)
            text = change_text(change, self._client.status)
            if text:
                self._output.note(text)

    def _check_count(self) -> None:
        if self._count is not None and self._shown_count < self._count and not (self._stop.is_set() or self._status):
            self._status = EXIT_FAILED
            self._output.fail(f"the server sent {self._shown_count} of --count {self._count} messages")

    def _fail(self, error: OnesocketError) -> None:
        self._status = EXIT_FAILED
        show_failure(self._output, error)
