"""Delays, duplicates and reorders the dispatches of one connection, as the active faults ask."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from ..._serving import ServedConnection
from ._fault_schedule import Fault, FaultSchedule
from ._session import GatewaySession

_MAX_HELD: Final = 10_000


class DispatchFaultInjector:
    """Writes numbered dispatches as the active faults ask; used while there is such a fault.

    `overflowed` is called when too much is held back, `progressed` when it may have become idle.
    """

    def __init__(
        self,
        connection: ServedConnection[GatewaySession],
        schedule: FaultSchedule,
        write: Callable[[bytes], object],
        overflowed: Callable[[], None],
        progressed: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._schedule = schedule
        self._write = write
        self._overflowed = overflowed
        self._progressed = progressed
        self._window: list[bytes] = []
        self._late: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        """True if `write` is running: a fault that it uses up does not make this object idle yet."""

    def __repr__(self) -> str:
        return f"<DispatchFaultInjector window={len(self._window)} late={len(self._late)}>"

    @property
    def idle(self) -> bool:
        """True if no dispatch is held back."""
        return not self._busy and not self._window and not self._late

    def write(self, frame: bytes) -> None:
        """Write one dispatch, now or later."""
        if len(self._window) + len(self._late) >= _MAX_HELD:
            self._overflowed()
            return
        self._busy = True
        self._take(frame)
        self._busy = False
        self._progressed()

    def settle(self, fault: Fault) -> None:
        """A fault has ended: write the dispatches that it held back."""
        if fault.kind == "reorder_dispatches" and self._schedule.find("reorder_dispatches", self._connection) is None:
            frames, self._window = self._window, []
            for frame in frames:
                self._pass_on(frame)
        if fault.kind == "delay_dispatches" and fault.lifted:
            self._release(float("inf"))

    def stop(self) -> None:
        """Drop the dispatches that are held back; the session keeps them for a resume."""
        self._window.clear()
        self._late.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _take(self, frame: bytes) -> None:
        fault = self._schedule.find("reorder_dispatches", self._connection)
        if fault is None:
            self._pass_on(frame)
            return
        self._window.append(frame)
        if len(self._window) >= fault.values["window"]:
            frames, self._window = self._window, []
            for held in reversed(frames):
                self._pass_on(held)
            fault.use()

    def _pass_on(self, frame: bytes) -> None:
        copies = 2 if self._schedule.take("duplicate_dispatches", self._connection) is not None else 1
        fault = self._schedule.take("delay_dispatches", self._connection)
        for _ in range(copies):
            if fault is None and not self._late:
                self._write(frame)
            else:
                self._hold(frame, fault.values["seconds"] if fault is not None else 0.0)

    def _hold(self, frame: bytes, seconds: float) -> None:
        due = asyncio.get_running_loop().time() + seconds
        if self._late:
            due = max(due, self._late[-1][0])  # a delay doesn't change the order
        self._late.append((due, frame))
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._late:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._late[0][0], self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._release(asyncio.get_running_loop().time())
        self._arm()

    def _release(self, until: float) -> None:
        while self._late and self._late[0][0] <= until:
            self._write(self._late.popleft()[1])
        if not self._late:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._progressed()
