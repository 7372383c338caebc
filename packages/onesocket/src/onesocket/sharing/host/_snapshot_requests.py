"""Requests of this process for the messages with which late readers begin, to whichever process owns the connection."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ._ipc_frames import SnapshotRequest
from ._membership import Membership

Ready = Callable[[list[Any]], object]


class SnapshotRequests:
    """Asks the present role, and the next one again if the last owner has not answered."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[Ready, list[Any]]] = {}
        """With the messages of the answers so far."""

    def __repr__(self) -> str:
        return f"<SnapshotRequests {len(self._asked)}>"

    def ask(self, ready: Ready) -> None:
        """Have `ready` called with the messages, at their place in the stream."""
        number = next(self._numbers)
        self._asked[number] = ready, []
        self.submit(number)

    def submit(self, number: int) -> None:
        """Ask the owner, if there is one and it is still to answer.

        Under a new number: parts of an earlier answer may still wait in this process.
        """
        role = self._membership.usable_role
        if role is not None and number in self._asked:
            ready, _ = self._asked.pop(number)
            number = next(self._numbers)
            self._asked[number] = ready, []
            role.submit(SnapshotRequest(number))

    def on_role_taken(self) -> None:
        """Ask the new owner."""
        for number in tuple(self._asked):
            self.submit(number)

    def on_answer(self, number: int, messages: list[Any], *, more: bool) -> None:
        """Take an answer, or a part of it."""
        if number not in self._asked:
            return
        ready, so_far = self._asked[number]
        so_far += messages
        if not more:
            del self._asked[number]
            ready(so_far)
