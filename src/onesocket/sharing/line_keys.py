"""The keys that the present line is subscribed to, kept up with those that are wanted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final

from ..client.inside import Inside
from ..errors import EncodeError, OnesocketError, OutboxFull
from ..wire import Data

_AGAIN: Final = 0.25
"""Seconds until the outbox is tried again if nobody says that there's room: frames and the peer's pace don't."""


class LineKeys:
    """Sends differences. What the client has no room for yet stands first in line for it.

    `again` is called when it's time to call `bring_to` once more.
    """

    def __init__(self, protocol: Any, inside: Inside, again: Callable[[], None]) -> None:
        self._protocol = protocol
        self._inside = inside
        self._again = again
        self._epoch = 0
        self._has: frozenset[Hashable] = frozenset()
        """What the line has once `_unsent` is sent."""
        self._unsent: deque[Data] = deque()
        self._retry: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<LineKeys epoch={self._epoch} keys={len(self._has)} unsent={len(self._unsent)}>"

    def bring_to(self, wanted: frozenset[Hashable], epoch: int) -> None:
        """The line of this epoch is up, and these are wanted on it. A new line begins with nothing."""
        if epoch != self._epoch:
            self._epoch, self._has = epoch, frozenset()
            self._unsent.clear()
        # Differences are only made once those before them are sent: so there are never more frames than for one.
        while self._send() and wanted != self._has:
            self._unsent.extend(self._frames(wanted - self._has, self._has - wanted))
            self._has = wanted

    def room(self) -> None:
        """A message has left the outbox."""
        if self._unsent:
            self._again()

    def stop(self) -> None:
        """Nothing is sent any more."""
        self._unsent.clear()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _frames(self, added: frozenset[Hashable], gone: frozenset[Hashable]) -> list[Data]:
        # What is left first: the peer may have a limit.
        return [
            *self._made(self._protocol.unsubscribe_frames, gone),
            *self._made(self._protocol.subscribe_frames, added),
        ]

    def _made(self, make: Callable[[frozenset[Hashable]], Iterable[Data]], keys: frozenset[Hashable]) -> list[Data]:
        if not keys:
            return []
        try:
            return list(make(keys))
        except Exception as error:  # noqa: BLE001 - the protocol's, or a key that it can't express
            if len(keys) > 1:  # the others shall not go without for it
                return [frame for key in keys for frame in self._made(make, frozenset((key,)))]
            _report("the protocol can't express a key", error)
            return []

    def _send(self) -> bool:
        """Send what is unsent; False: not all of it."""
        while self._unsent:
            try:
                self._inside.post(self._unsent[0])  # a frame, not a message: it goes out as it is
            except OutboxFull:
                self._try_later()
                return False
            except EncodeError as error:  # of no use to the others that it's tried again
                _report("the protocol made a frame that can't be sent", error)
            except OnesocketError:
                return False  # the line is ending; the next begins anew
            self._unsent.popleft()
        return True

    def _try_later(self) -> None:
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(_AGAIN, self._tried)

    def _tried(self) -> None:
        self._retry = None
        self.room()


def _report(what: str, error: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": f"onesocket: {what}", "exception": error})
