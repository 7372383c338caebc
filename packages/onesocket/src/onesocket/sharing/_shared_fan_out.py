"""Every message of one connection, to every reader in every thread. It lives on the owner loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..client._backlog import ExpectedReader
from ..client._fan_out import FanOut
from ._shared_queue import SharedQueue


class SharedFanOut(FanOut):
    """A `FanOut` whose readers may be elsewhere: they bring their queues along."""

    def add(
        self,
        queue: SharedQueue[Any],
        event: str | None,
        *,
        raise_on_failure: bool,
        first: ExpectedReader | None = None,
        filtered: bool = False,
    ) -> None:
        """From now on this queue gets everything (of that event), behind what waited for it: see `FanOut.caught_up`."""
        if not queue.ended:
            waited, failure = self.take_backlog(first, event, filtered=filtered)
            queue.begin_with(waited)
            if raise_on_failure and failure is not None:
                queue.fail(failure)
        if self.ended or queue.ended:
            queue.end()
            return
        remove = self._add(event, queue.put, queue.put if queue.marks_gaps else None)
        self._queues[queue] = remove
        queue.epoch = self._epoch
        if raise_on_failure:
            self._failing[queue] = None

    def drop(self, queue: SharedQueue[Any]) -> None:
        """Not any more."""
        self._detach(queue)

    @property
    def hold_callbacks(self) -> tuple[Callable[[], None], Callable[[], None]]:
        """What a queue calls, on the owner loop, to hold the feed back and to let it go on."""
        return self._hold, self._release
