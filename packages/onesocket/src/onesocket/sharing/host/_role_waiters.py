"""Calls that wait for a role of this process."""

from __future__ import annotations

import asyncio

from ...errors import OnesocketError
from ._membership_events import Role


class RoleWaiters:
    """Futures of calls that wait for the next role; one that its caller gives up is cancelled, and left out."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[Role]] = []

    def __repr__(self) -> str:
        return f"<RoleWaiters {len(self._waiting)}>"

    def add(self) -> asyncio.Future[Role]:
        """Return a future of the next role, to be awaited."""
        future: asyncio.Future[Role] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        future.add_done_callback(self._forget)
        return future

    def resolve(self, role: Role) -> None:
        """Give the role to all that wait."""
        for future in self._take():
            future.set_result(role)

    def reject(self, error: OnesocketError) -> None:
        """Raise copies of the error in all that wait."""
        for future in self._take():
            future.set_exception(error.copy())

    def _take(self) -> list[asyncio.Future[Role]]:
        waiting, self._waiting = self._waiting, []
        return [future for future in waiting if not future.done()]

    def _forget(self, future: asyncio.Future[Role]) -> None:
        if future in self._waiting:
            self._waiting.remove(future)
