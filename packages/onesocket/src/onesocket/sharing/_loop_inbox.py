"""Calls from any thread into an event loop: in order, with one wake-up for all between two of its turns."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol


class MovableCall(Protocol):
    """A call with a task on the loop, which can begin anew on another one."""

    def detach(self) -> bool:
        """End the task, whose loop takes no further turn for it; True: `start` it on another loop."""
        ...

    def start(self) -> None:
        """Begin on the loop."""
        ...

    def refuse(self) -> None:
        """Answer that the loop takes no further turn for it."""


class LoopInbox:
    """Calls for one event loop.

    Without a lock, as the collector may post from inside any allocation: a deque's own operations are atomic, and the
    flag is lowered before the deque is emptied, so nothing is left behind.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._due = False
        self.posted = 0
        """Calls that came from elsewhere, and ..."""
        self.wakeups = 0
        """... how often the loop was woken for them."""
        self.unbegun = 0
        """Number of tasks of calls that begin later in this turn: further calls must not overtake them."""

    def __repr__(self) -> str:
        return f"<LoopInbox waiting={len(self._calls)} posted={self.posted} wakeups={self.wakeups}>"

    @property
    def is_here(self) -> bool:
        """True if the loop runs in this thread."""
        try:
            return asyncio.get_running_loop() is self._loop()
        except RuntimeError:
            return False

    @property
    def is_dead(self) -> bool:
        """True once the loop is closed: no call will be made there."""
        loop = self._loop()
        return loop is None or loop.is_closed()

    def post(self, call: Callable[..., object], *args: Any) -> bool:
        """Call this on the loop: at once if it runs in this thread, else soon. False: the loop is closed."""
        if self.is_here:
            call(*args)
            return True
        return self.post_soon(call, *args)

    def post_soon(self, call: Callable[..., object], *args: Any) -> bool:
        """Call this in a later turn of the loop, wherever we are. False: the loop is closed."""
        loop = self._loop()
        try:
            self._calls.append((call, args))
            self.posted += 1
            if loop is None or loop.is_closed() or not self._wake(loop):
                return self._on_closed()
        except BaseException:
            # Ctrl-C in the midst of it: a call that is in is made nevertheless, and the next one isn't stranded.
            if loop is not None:
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._run_pending)
            raise
        return True

    def _on_closed(self) -> bool:
        """Refuse what was posted, as the loop is closed: False."""
        self.reject_pending()
        return False

    def _wake(self, loop: asyncio.AbstractEventLoop) -> bool:
        if not self._due:
            self._due = True
            self.wakeups += 1
            try:
                # From its own thread the loop needs no wake-up, which costs a write and a read of its self-pipe.
                (loop.call_soon if self.is_here else loop.call_soon_threadsafe)(self._run_pending)
            except RuntimeError:  # closed just now
                return False
        return True

    def ends_with(self, call: Callable[..., object]) -> bool:
        """True if the newest call that was posted, and not made yet, is this one."""
        try:
            return self._calls[-1][0] == call
        except IndexError:
            return False

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Take a task of the connection that was just made on the loop."""

    def begin(self, call: MovableCall, task: asyncio.Task[Any]) -> None:  # noqa: ARG002 - for one that can move
        """Take note of the task of a call, which was just made on the loop."""
        self.note_unbegun()

    def end(self, call: MovableCall) -> None:
        """Note that a call is over."""

    def refuse_begun(self) -> None:
        """Answer the calls that are under way, as the loop takes no further turn for them; in any thread."""

    def note_unbegun(self) -> None:
        """Count a task that was just made on the loop until it has begun."""
        self.unbegun += 1
        asyncio.get_running_loop().call_soon(self._note_begun)

    def _note_begun(self) -> None:
        self.unbegun -= 1

    def reject_pending(self) -> None:
        """Refuse the calls that are left, as the loop is closed: their callers are answered."""
        while self._calls:
            call, _ = self._calls.popleft()
            refuse: Callable[[], None] | None = getattr(getattr(call, "__self__", None), "refuse", None)
            if refuse is not None:
                refuse()

    def _run_pending(self) -> None:
        self._due = False
        try:
            # A call that comes from here on has seen the flag lowered, and brings a turn of its own.
            for _ in range(len(self._calls)):
                call, args = self._calls.popleft()
                try:
                    call(*args)
                except Exception as error:  # noqa: BLE001 - one call must not take the others along
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": f"onesocket: {getattr(call, '__qualname__', call)} failed", "exception": error}
                    )
        except BaseException:  # the program ends, perhaps: if the loop goes on, so do the other calls
            asyncio.get_running_loop().call_soon(self._run_pending)
            raise


_inboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopInbox] = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def inbox_of(loop: asyncio.AbstractEventLoop) -> LoopInbox:
    """The one inbox of this loop."""
    with _lock:
        inbox = _inboxes.get(loop)
        if inbox is None:
            inbox = _inboxes[loop] = LoopInbox(loop)
        return inbox


def reset_inboxes() -> None:
    """Forget the parent's loops, in a forked child; the lock may be held by a thread that isn't there."""
    global _lock, _inboxes  # noqa: PLW0603 - a fresh start is the only safe one
    _lock = threading.RLock()
    _inboxes = weakref.WeakKeyDictionary()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
