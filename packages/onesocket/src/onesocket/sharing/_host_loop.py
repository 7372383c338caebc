"""The event loops that connections live on: that of a thread of the library, or one that the program offers."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import selectors
import socket
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from .._forking import ForkGuard
from .._threads import start_thread
from ..errors import OutOfResources
from ._loop_inbox import LoopInbox, inbox_of

_SHUTDOWN_TIMEOUT: Final = 1.0
"""Seconds for the tasks that are left on the loop when the last connection is gone."""
_PAUSE_TIMEOUT: Final = 1.0
"""Seconds for which a fork waits until the thread stands still, at each of two places."""

# A name lookup imports this codec, and a fork in the midst of an import leaves its lock held in the child for ever.
codecs.lookup("idna")


class HostLoop:
    """An event loop that holds connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.loop_inbox: LoopInbox = inbox_of(loop)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'dead' if self.is_dead else 'alive'}>"

    @property
    def is_dead(self) -> bool:
        """True once the loop is closed."""
        return self.loop.is_closed()

    def has_ended(self) -> bool:
        """True if no turn is to be expected of the loop; in any thread."""
        return self.is_dead

    def inbox_of_connection(self) -> LoopInbox:
        """The inbox for a connection that lives here."""
        return self.loop_inbox

    def descriptors(self) -> Iterable[int]:
        """The descriptors that a forked child has to release, besides those of the connections."""
        return ()


class _ResolverExecutor(ThreadPoolExecutor):
    """Looks up host names, but not during a fork: the child would inherit the C library's locks, held."""

    def __init__(self) -> None:
        super().__init__(4, thread_name_prefix="onesocket resolver")
        self.fork_guard = ForkGuard()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `Executor.submit()`, guarded against forks."""
        return super().submit(self._work, fn, *args, **kwargs)

    def _work(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.fork_guard.operation():
            return fn(*args, **kwargs)


class HostLoopThread(HostLoop):
    """A daemon thread with a loop of its own, until `stop`."""

    def __init__(self) -> None:
        """Start it. Raises `OutOfResources`."""
        # Of a kind whose selector can be looked into: a forked child has to find every socket.
        self._selector, loop = _make_loop()
        super().__init__(loop)
        self._executor = _ResolverExecutor()
        self._resume = threading.Event()
        self._moved_here: weakref.WeakSet[LoopInbox] = weakref.WeakSet()
        """The inboxes of the connections that have moved here."""
        self.thread = threading.Thread(target=self._run, name="onesocket owner", daemon=True)
        try:
            start_thread(self.thread)
        except BaseException:
            loop.close()
            raise

    def add(self, inbox: LoopInbox) -> None:
        """Refuse the calls that are left in this inbox when the loop is closed, too; on the loop."""
        self._moved_here.add(inbox)

    def stop(self) -> None:
        """End it, soon; from any thread."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.loop.stop)

    def pause_for_fork(self) -> None:
        """Before a fork: wait until the thread holds no lock, which the child would inherit held."""
        if threading.current_thread() is self.thread:
            return
        self._executor.fork_guard.pause_for_fork(_PAUSE_TIMEOUT)
        stands, self._resume = threading.Event(), threading.Event()
        if self.loop_inbox.post(_pause_loop, stands, self._resume):
            stands.wait(_PAUSE_TIMEOUT)

    def resume_after_fork(self) -> None:
        """After a fork: let the thread go on."""
        if threading.current_thread() is self.thread:
            return
        self._resume.set()
        self._executor.fork_guard.resume_after_fork()

    def descriptors(self) -> Iterable[int]:
        """Every socket on the loop: connections, also those being opened, and the pair that wakes it."""
        return [key.fd for key in list((self._selector.get_map() or {}).values())]

    def _run(self) -> None:
        loop = self.loop
        asyncio.set_event_loop(loop)
        loop.set_default_executor(self._executor)
        try:
            loop.run_forever()
            loop.run_until_complete(_finish_tasks())
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)
            asyncio.set_event_loop(None)
            loop.close()
            for inbox in (self.loop_inbox, *self._moved_here):
                inbox.reject_pending()


def _make_loop() -> tuple[selectors.BaseSelector, asyncio.SelectorEventLoop]:
    """Make an event loop and its selector. Raises `OutOfResources`."""
    selector: selectors.BaseSelector | None = None
    try:
        selector = selectors.DefaultSelector()
        for sock in socket.socketpair():  # as the loop does: one that fails at this warns when it is collected
            sock.close()
        return selector, asyncio.SelectorEventLoop(selector)
    except OSError as error:
        if selector is not None:
            selector.close()
        raise OutOfResources(f"no event loop can be made for the connection: {error.strerror}") from error


def _pause_loop(stands: threading.Event, resume: threading.Event) -> None:
    stands.set()
    resume.wait(2 * _PAUSE_TIMEOUT)


async def _finish_tasks() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    if rest:  # tasks that were just told of the end
        _, rest = await asyncio.wait(rest, timeout=_SHUTDOWN_TIMEOUT)
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=_SHUTDOWN_TIMEOUT)
    await asyncio.get_running_loop().shutdown_asyncgens()
