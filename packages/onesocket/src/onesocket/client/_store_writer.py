"""The thread that owns the file of a `DurableOutbox`: one transaction for all that came during the last one."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from .._forking import ForkGuard, pause_before_fork, reset_in_child
from .._threads import start_thread
from ..errors import MessageNotStored
from ._message_store import Delete, MessageStore, Operation, StoredRow

Report = Callable[[list[Operation], MessageNotStored | None], object]
"""Called on the event loop with operations that are on disk, or that failed with this error."""

_FORK_PAUSE: Final = 1.0
"""Seconds for which a fork waits until no file is being written."""
_RETRY: Final = 1.0
"""Seconds after which deletions that failed are tried again."""
_EXIT_TIMEOUT: Final = 5.0
"""Seconds for which the end of the interpreter waits until all is written."""

_fork_guard = ForkGuard()
_writers: Final[weakref.WeakSet[StoreWriter]] = weakref.WeakSet()


def _pause_for_fork() -> Callable[[], None]:
    _fork_guard.pause_for_fork(_FORK_PAUSE)
    return _fork_guard.resume_after_fork


def _finish_all() -> None:
    for writer in list(_writers):
        writer.finish()


def _reset_in_child() -> None:
    global _fork_guard  # noqa: PLW0603 - the parent's is held
    _fork_guard = ForkGuard()


pause_before_fork(_pause_for_fork)
reset_in_child(_reset_in_child)
atexit.register(_finish_all)

_Inbox = queue.SimpleQueue[Operation | None]


class StoreWriter:
    """Writes to one file, in order; `report` is called on the loop, as long as its object lives.

    The database is a local variable of the thread alone: in a forked child, where that thread does not exist, nothing
    closes it, as that would write to the parent's file.
    """

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, report: Report) -> None:
        """Open the file, and wait for that. Raises `OutboxUnusable` or `OutOfResources`."""
        self._inbox: _Inbox = queue.SimpleQueue()
        self._closed: Future[None] = Future()
        opened: Future[list[StoredRow]] = Future()
        answer = _Answer(loop, weakref.WeakMethod(report))
        self._thread = threading.Thread(
            target=_run, args=(path, self._inbox, answer, opened, self._closed), name="onesocket outbox", daemon=True
        )
        # For a client that was left open, or whose opening was interrupted by Ctrl-C.
        weakref.finalize(self, self._inbox.put, None).atexit = False
        start_thread(self._thread)
        _writers.add(self)
        self.rows = opened.result()
        """The messages that were in the file."""

    def __repr__(self) -> str:
        return f"<StoreWriter {'writing' if self._thread.is_alive() else 'closed'}>"

    def submit(self, operation: Operation) -> None:
        """Write this, soon, behind what was submitted before."""
        self._inbox.put(operation)

    async def aclose(self, timeout: float) -> None:
        """Write what was submitted, and close the file; a disk that takes longer than `timeout` does so later."""
        self._inbox.put(None)
        await asyncio.wait([asyncio.wrap_future(self._closed)], timeout=timeout)

    def finish(self) -> None:
        """Write what was submitted before the interpreter ends."""
        self._inbox.put(None)
        self._thread.join(_EXIT_TIMEOUT)


class _Answer:
    """Passes results to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, report: weakref.WeakMethod[Report]) -> None:
        self._loop = loop
        self._report = report

    def __call__(self, operations: list[Operation], error: MessageNotStored | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._deliver, operations, error)

    def _deliver(self, operations: list[Operation], error: MessageNotStored | None) -> None:
        report = self._report()
        if report is not None:
            report(operations, error)


def _run(path: Path, inbox: _Inbox, answer: _Answer, opened: Future[list[StoredRow]], closed: Future[None]) -> None:
    try:
        with _fork_guard.operation():
            store = MessageStore(path)
    except BaseException as error:  # noqa: BLE001 - raised in the thread that opens it
        opened.set_exception(error)
        return
    opened.set_result(store.rows)
    store.rows = []
    overdue: list[Operation] = []
    ends = False
    while not ends:
        ends = _write_next(store, inbox, overdue, answer)
    with _fork_guard.operation():
        store.close()
    closed.set_result(None)


def _write_next(store: MessageStore, inbox: _Inbox, overdue: list[Operation], answer: _Answer) -> bool:
    """Write what has come, in one transaction; returns True at the end. `overdue`: deletions that failed before."""
    batch, ends = _take(inbox, timeout=_RETRY if overdue else None)
    operations = [*overdue, *batch]
    if operations:
        try:
            with _fork_guard.operation():
                store.apply(operations)
        except MessageNotStored as error:
            overdue[:] = [operation for operation in operations if isinstance(operation, Delete)]
            answer(batch, error)
        else:
            overdue.clear()
            answer(batch, None)
    return ends


def _take(inbox: _Inbox, *, timeout: float | None) -> tuple[list[Operation], bool]:
    """Everything that has come, at least one unless the time is over first, and whether that is the end."""
    batch: list[Operation] = []
    with contextlib.suppress(queue.Empty):
        operation = inbox.get(timeout=timeout)
        while operation is not None:
            batch.append(operation)
            operation = inbox.get_nowait()
        return batch, True
    return batch, False
