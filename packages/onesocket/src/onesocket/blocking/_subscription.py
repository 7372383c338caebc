"""The stream of one reader that is a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NoReturn, Self, cast

from ..client._gap import Gap
from ..client._subscription import Predicate
from ..client._subscription import Subscription as LoopSubscription
from ..errors import ClientClosed, ForkedCopy, OnesocketError, SlowConsumer, UsageError, WaitTimeout
from ..protocols._message_type import M_co
from ..sharing._loop_inbox import LoopInbox
from ..sharing._registry import current_registry
from ._waiting import Deadline, OneShotEvent, check_may_block

_ENDED: Final = "this subscription has ended: its client or the connection was closed"


class _Handover:
    """Takes messages out of a stream on the host loop, all that wait at once, when the reader asks for them.

    The reader's thread reads `taken`, `error` and `is_ended`; it may be interrupted anywhere, and loses nothing.
    """

    def __init__(self, stream: LoopSubscription[Any]) -> None:
        self.stream = stream
        self.taken: deque[Any] = deque()
        """Read first; the reader takes out what it has read."""
        self.error: OnesocketError | None = None
        """To be raised in the reader once it has read everything."""
        self.is_ended = False
        self.event: OneShotEvent | None = None
        """Set once there is something; of a reader that waits."""

    def request(self, event: OneShotEvent, *, at_once: bool = False) -> None:
        """Set the event once there is something; `at_once`: now, in any case."""
        self.event = event
        self.set_result(None)
        if at_once:
            event.set()

    # The queue knows what waits for it as a future.

    def done(self) -> bool:
        """Never: the queue tells once."""
        return False

    def set_result(self, _: None) -> None:
        """Hand over what there is."""
        event, queue = self.event, self.stream.queue
        if event is None:
            return
        if queue.refusals and self.error is None:
            self.error = queue.refusals.pop(0)
        while queue.has_items:
            if queue.plain:
                self.taken.extend(queue.items)
                queue.items.clear()
            else:
                self.taken.append(queue.take())
        if not self.taken and self.error is None:
            self.error = queue.next_error()
            self.is_ended = self.error is None and (queue.ended or self.stream.is_closed)
        if self.taken or self.error is not None or self.is_ended:
            self.event = None
            event.set()
        else:
            queue.waiter = cast("Any", self)


class Subscription(Iterator[M_co]):
    """Messages for one thread: ``for message in subscription``. It has one reader."""

    def __init__(self, stream: LoopSubscription[M_co], host_inbox: LoopInbox, where: Predicate | None = None) -> None:
        self._stream = stream
        self._handover = _Handover(stream)
        self._where = where
        self._host_inbox = host_inbox
        self._registry = current_registry()
        self._event: OneShotEvent | None = None
        self._closed = False

    def __repr__(self) -> str:
        queue = self._stream.queue
        state = "closed" if self._closed or queue.ended else "held back" if queue.waits else "open"
        return f"<Subscription {state} queued={len(self)}/{queue.limit} overflow={queue.overflow.value}>"

    def __len__(self) -> int:
        """Messages that wait to be read."""
        return len(self._handover.taken) + len(self._stream)

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> M_co:
        """The next message, or a `Gap`; the end is when the client or the connection is closed."""
        try:
            return self.receive()
        except ClientClosed:
            raise StopIteration from None

    def receive(self, timeout: float | None = None) -> M_co:
        """The next message, or a `Gap`.

        Raises `WaitTimeout` after `timeout` seconds, `SlowConsumer`, what made the connection fail, or `ClientClosed`
        when nothing more will come. Interrupted by Ctrl-C, it has taken nothing: the next call gets it.
        """
        check_may_block()
        if self._registry is not current_registry():
            raise ForkedCopy
        deadline = Deadline(timeout)
        where = self._where
        looked = False
        while True:
            taken = self._handover.taken
            if not taken or self._closed:
                if looked and deadline.left == 0:  # messages that aren't wanted may come without end
                    raise _receive_timeout(deadline)
                self._more(deadline)
                looked = True
            item: M_co = taken[0]
            try:
                is_wanted = where is None or isinstance(item, Gap) or bool(where(item))
            except Exception:
                if taken and taken[0] is item:
                    del taken[0]
                raise
            # No call from here on, so no place where Python looks for signals or switches threads: it's taken and
            # returned, or neither. A thread that shouldn't be here may have taken it meanwhile.
            if taken and taken[0] is item:
                del taken[0]
                if is_wanted:
                    return item

    def _more(self, deadline: Deadline) -> None:
        """Wait until something is taken."""
        handover = self._handover
        while True:
            if self._closed:
                raise ClientClosed(_ENDED)
            if handover.taken:
                return
            if handover.error is not None:
                self._raise(handover.error)
            if handover.is_ended:
                raise ClientClosed(_ENDED)
            if self._event is not None and not self._event.is_abandoned:
                raise UsageError("a subscription has one reader; subscribe() once for each thread")
            event = self._event = OneShotEvent()
            try:
                self._request(event, deadline)
            finally:
                event.is_abandoned = True

    def _request(self, event: OneShotEvent, deadline: Deadline) -> None:
        handover = self._handover
        if deadline.left == 0:
            if not self._host_inbox.post(lambda: handover.request(event, at_once=True)):
                raise ClientClosed(_ENDED)
            Deadline(None).wait(event, self._host_inbox)
            is_here = handover.taken or handover.error is not None or handover.is_ended
        else:
            if not self._host_inbox.post(handover.request, event):
                raise ClientClosed(_ENDED)
            is_here = deadline.wait(event, self._host_inbox) or handover.taken
        if not is_here:
            raise _receive_timeout(deadline)

    def _raise(self, error: OnesocketError) -> NoReturn:
        copy = error.copy()
        if isinstance(error, SlowConsumer):
            self._host_inbox.post(self._stream.close)
            self._closed = True
        # It is raised once, and not removed before: there's no call from here on, either.
        self._handover.error = None
        raise copy

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Close it: a forgotten subscription must not hold the feed back."""
        if not getattr(self, "_closed", True):
            self.close()

    @property
    def dropped(self) -> int:
        """Messages that this subscriber did not get because it was too slow."""
        return self._stream.dropped

    @property
    def is_closed(self) -> bool:
        """True once it was closed."""
        return self._closed

    def close(self) -> None:
        """End this subscription, from any thread, and drop its queue."""
        if not self._closed and self._registry is current_registry():
            self._host_inbox.post(self._stream.close)
            self._closed = True  # last, so that one that was interrupted is made good by the next


def _receive_timeout(deadline: Deadline) -> WaitTimeout:
    return WaitTimeout(f"no message within {deadline.timeout:g} s")


def part_of(where: Predicate | None) -> Predicate | None:
    """The predicate for the host loop: the real one is called in the reader's thread, but the stream is a part."""
    return None if where is None else _accept


def _accept(_: Any) -> bool:
    return True
