"""Buffer of the newest messages before the first reader of everything, with their gap markers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, cast

from ._gap import Gap, GapReason

MAX_MESSAGES: Final = 1024
"""Number of messages that may wait."""
MAX_BYTES: Final = 4 * 2**20
"""Bytes that may wait, as `estimate_size` counts them; the newest message waits whatever its size."""

_NOTHING: Final[deque[Any]] = deque()
"""An empty queue: never changed, and shared by all, as one of its own takes 0.7 KB."""
_TEXT_OR_BYTES: Final = (str, bytes)
_STRUCTURED: Final[tuple[type[Any], ...]] = (dict, list, tuple)


class ExpectedReader:
    """A reader of everything that is still to come, with the place at which its stream begins."""

    __slots__ = ("gaps", "served", "start")

    def __init__(self, start: int, gaps: int) -> None:
        self.start = start
        """Number of messages and gap markers before it."""
        self.gaps = gaps
        """Number of gap markers among those."""
        self.served: dict[tuple[str | None, bool], None] = {}
        """Readers of a part that got the waiting messages: their event, and True if they had a predicate."""

    def serves(self, event: str | None, *, filtered: bool) -> bool:
        """Record a reader of this part of the messages, and return whether it is the first one."""
        part = (event, filtered)
        is_first = part not in self.served and (event, False) not in self.served
        self.served[part] = None
        return is_first


class Backlog:
    """Buffers the newest messages for all readers that are still to come, and nothing while there is none.

    Beyond its bounds the oldest are dropped; a reader that comes then finds a `Gap` with their number in front. If each
    reader that is still to come reads a part already, all are dropped then, and the next ones are only counted: a
    program that reads by event for days neither weighs nor keeps every message for a reader that never comes.
    """

    __slots__ = (
        "_bytes",
        "_dropped",
        "_gaps",
        "_gaps_dropped",
        "_items",
        "_last_gap",
        "_messages",
        "_readers",
        "_size",
        "_weights",
        "only_counts",
    )

    def __init__(self, messages: int = MAX_MESSAGES, size: int = MAX_BYTES) -> None:
        self._messages = messages
        self._size = size
        self._readers: list[ExpectedReader] = []
        self._items: deque[Any] = _NOTHING
        self._weights: deque[int] = _NOTHING
        self._bytes = 0
        self._dropped = 0
        """Number of messages and gap markers that are gone from the front."""
        self._gaps_dropped = 0
        """Number of gap markers among those."""
        self._last_gap: tuple[int, Gap] | None = None
        """The newest of those, with its place: readers still get it."""
        self._gaps = 0
        self.only_counts = False
        """True if no message is kept any more, until one more reader is expected."""

    def __repr__(self) -> str:
        return f"<Waiting for {len(self._readers)} readers, {len(self._items)} items, {self._bytes} bytes>"

    def __bool__(self) -> bool:
        """True if a reader is still to come."""
        return bool(self._readers)

    def __contains__(self, reader: ExpectedReader) -> bool:
        """True if this reader is still to come."""
        return reader in self._readers

    def expect(self) -> ExpectedReader:
        """Returns a new reader that is still to come: its stream begins here."""
        reader = ExpectedReader(self._dropped + len(self._items), self._gaps)
        self._readers.append(reader)
        self.only_counts = False
        return reader

    def forget(self, reader: ExpectedReader) -> None:
        """Stop waiting for this reader: it is here, or gone."""
        if reader in self._readers:
            self._readers.remove(reader)
        if not self._readers:
            self._drop_all()
            self._last_gap = None

    def put(self, item: Any) -> None:
        """Keep one message, or a gap marker."""
        if self.only_counts:
            self._dropped += 1
            return
        size = estimate_size(item)
        if self._items is _NOTHING:
            self._items, self._weights = deque(), deque()
        self._items.append(item)
        self._weights.append(size)
        self._bytes += size
        if len(self._items) > self._messages or self._bytes > self._size:
            self._make_room()

    def put_many(self, batch: Sequence[Any]) -> None:
        """Keep several messages."""
        if self.only_counts:
            self._dropped += len(batch)
            return
        if self._items is _NOTHING:
            self._items, self._weights = deque(), deque()
        sizes = [len(item) if type(item) is str else estimate_size(item) for item in batch]
        self._items.extend(batch)
        self._weights.extend(sizes)
        self._bytes += sum(sizes)
        if batch and (len(self._items) > self._messages or self._bytes > self._size):
            self._make_room()

    def put_gap(self, gap: Gap) -> None:
        """Keep a gap marker."""
        self._gaps += 1
        if self.only_counts:
            self._gaps_dropped += 1
            self._last_gap = self._dropped, gap
        self.put(gap)

    def since(self, reader: ExpectedReader, epoch: int) -> list[Any]:
        """Returns the messages since this reader was expected, behind a `Gap` if some of them were dropped."""
        kept = list(self._items)
        if reader.start >= self._dropped:
            return kept[reader.start - self._dropped :]
        missed = self._dropped - reader.start - (self._gaps_dropped - reader.gaps)
        front: list[Any] = []
        epoch = _epoch_at_start(kept, epoch)
        if self._last_gap is not None and self._last_gap[0] >= reader.start:
            front.append(self._last_gap[1])
            epoch = self._last_gap[1].epoch
        if missed:
            front.insert(0, Gap(GapReason.OVERFLOW, epoch, missed))
        return front + kept

    def _make_room(self) -> None:
        # A loop, not all(): this is done for each message that comes once there is no room.
        for reader in self._readers:
            if not reader.served:
                break
        else:
            self.only_counts = True
            self._drop_all()
            return
        count, left, size = 0, len(self._items), self._bytes
        for weight in self._weights:
            if left <= self._messages and (size <= self._size or left == 1):
                break
            count, left, size = count + 1, left - 1, size - weight
        self._drop_oldest(count)

    def _drop_all(self) -> None:
        self._drop_oldest(len(self._items))

    def _drop_oldest(self, count: int) -> None:
        items, weights, at = self._items, self._weights, self._dropped
        for place in range(at, at + count):
            oldest = items.popleft()
            self._bytes -= weights.popleft()
            if type(oldest) is Gap:
                self._gaps_dropped += 1
                self._last_gap = place, oldest
        self._dropped = at + count


def _epoch_at_start(items: list[Any], epoch: int) -> int:
    """Epoch of the connection that the first message of these items came on; `epoch`: that of the last one."""
    place, gap = next(((place, item) for place, item in enumerate(items) if isinstance(item, Gap)), (0, None))
    if gap is None:
        return epoch
    return gap.epoch - 1 if place and gap.reason is GapReason.RECONNECTED else gap.epoch


def filter_backlog(waited: list[Any], is_wanted: Callable[[Any], bool]) -> list[Any]:
    """Returns the waiting messages that a reader of a part wants, with the gap markers.

    If there are none of its own, it begins with its call, whatever connection was lost before that.
    """
    part = [item for item in waited if isinstance(item, Gap) or is_wanted(item)]
    if all(isinstance(item, Gap) for item in part):
        return [gap for gap in part if gap.reason is GapReason.OVERFLOW]
    return part


def estimate_size(message: Any) -> int:
    """Estimates the bytes of a message: those of its text, or of its data as MessagePack."""
    if isinstance(message, _TEXT_OR_BYTES):
        return len(message)
    if isinstance(message, _STRUCTURED) or hasattr(
        cast("object", message), "__struct_fields__"
    ):  # the latter: msgspec's
        # Not contextlib.suppress, which costs as much as the rest: this is done for each message without a reader.
        try:
            return len(_encoder()(message))
        except Exception:  # noqa: BLE001 - there may be anything in it
            return cast("object", message).__sizeof__()
    return cast("object", message).__sizeof__()


@cache
def _encoder() -> Callable[[Any], bytes]:
    import msgspec  # noqa: PLC0415 - 8 ms of each program that imports a client

    return msgspec.msgpack.Encoder().encode
