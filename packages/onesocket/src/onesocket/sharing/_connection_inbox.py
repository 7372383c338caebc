"""Calls from any thread to a connection that may move from one event loop to another."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from .._task_end import hide_task
from ._loop_inbox import LoopInbox, MovableCall


class ConnectionInbox(LoopInbox):
    """The inbox of one connection: of the loop that it lives on, and after its move of the next one.

    Calls wait, in order, while the connection moves; those that have begun, and wait for something, begin anew. Their
    tasks are the connection's, not those of the program that runs the loop: `asyncio.run()` doesn't cancel them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.refuge: LoopInbox | None = None
        """The inbox of the loop that the connection can move to; None: it can't, and ends with its loop."""
        self.rescue: Callable[[], object] | None = None
        """Called on that loop when a call comes, and the present loop is closed: moves the connection."""
        self._begun: dict[MovableCall, None] = {}
        self._is_paused = False
        self._moves = 0

    def __repr__(self) -> str:
        place = "moving" if self._is_paused else f"moves={self._moves}"
        return f"<ConnectionInbox waiting={len(self._calls)} begun={len(self._begun)} {place}>"

    @property
    def is_dead(self) -> bool:
        """True once no call will be made any more: the loop is closed, and the connection can't move to another."""
        refuge = self.refuge  # read first: it's None again when the connection has moved, and the loop another
        return (refuge is None or refuge.is_dead) and super().is_dead

    def post(self, call: Callable[..., object], *args: Any) -> bool:
        """As of `LoopInbox`; while the connection moves, the call waits."""
        return self.post_soon(call, *args) if self._is_paused else super().post(call, *args)

    def post_soon(self, call: Callable[..., object], *args: Any) -> bool:
        """As of `LoopInbox`; while the connection moves, the call waits."""
        moves = self._moves
        is_taken = super().post_soon(call, *args)
        if is_taken and moves != self._moves:  # it may have woken the loop before
            self._kick()
        return is_taken

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Hide a task of the connection from the end of the loop, unless it has moved: it moves once."""
        if not self._moves:
            hide_task(task)

    def begin(self, call: MovableCall, task: asyncio.Task[Any]) -> None:
        """As of `LoopInbox`; and keep the call, which may have to begin anew."""
        self.adopt(task)
        self._begun[call] = None
        self.note_unbegun()

    def note_unbegun(self) -> None:
        """As of `LoopInbox`."""
        self.unbegun += 1
        asyncio.get_running_loop().call_soon(self._note_begun_in, self._moves)

    def _note_begun_in(self, moves: int) -> None:
        if moves == self._moves:
            self._note_begun()

    def end(self, call: MovableCall) -> None:
        """Note that a call is over."""
        self._begun.pop(call, None)

    def refuse_begun(self) -> None:
        """As of `LoopInbox`."""
        begun, self._begun = self._begun, {}
        for call in begun:
            call.refuse()

    # --- moves ------------------------------------------------------------------------------------------------------

    def leave(self, loop: asyncio.AbstractEventLoop) -> list[MovableCall]:
        """Belong to this loop, and let all calls wait until `arrive`; returns those that have to begin anew."""
        self._is_paused = True
        self._moves += 1
        self._loop = weakref.ref(loop)
        self.unbegun = 0
        begun, self._begun = self._begun, {}
        return [call for call in begun if call.detach()]

    def arrive(self, calls: list[MovableCall]) -> None:
        """Begin these calls anew, and make those that waited behind them; on the new loop."""
        self._calls.extendleft((call.start, ()) for call in reversed(calls))
        self._is_paused = False
        self._kick()

    def _kick(self) -> None:
        """Wake the present loop for what waits, whatever loop was woken for it."""
        self._due = False
        loop = self._loop()
        if self._calls and loop is not None and not loop.is_closed():
            self._wake(loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> bool:
        return True if self._is_paused else super()._wake(loop)

    def _on_closed(self) -> bool:
        refuge, rescue = self.refuge, self.rescue
        if refuge is not None and rescue is not None and refuge.post_soon(rescue):
            return True
        loop = self._loop()
        if loop is None or loop.is_closed():
            return super()._on_closed()
        self._kick()  # it has moved meanwhile
        return True

    def _run_pending(self) -> None:
        if not self._is_paused and self.is_here:
            super()._run_pending()
        else:  # in a turn of the loop that the connection has left
            self._kick()
