"""The newest entries of a recorder, within two bounds."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ._entries import Entry

# Bytes that an entry takes beside its message.
ENTRY_BYTES: Final = 200


class Ring:
    """At most so many entries, which hold at most so many bytes of memory: the oldest are dropped.

    Adding one is nearly all that a recorder costs. So the sizes of dropped entries are not subtracted one by one: the
    sum is an upper bound, which is computed anew when it passes the limit; then a quarter of the limit is made free.
    """

    def __init__(self, entries: int, size: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=entries)
        self._max_size = size
        self._size = 0
        self._added = 0

    def __repr__(self) -> str:
        return f"<Ring entries={len(self._entries)} dropped={self.dropped}>"

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def dropped(self) -> int:
        """Number of entries that were dropped."""
        return self._added - len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of memory that the entries hold."""
        return sum(entry[0] for entry in self.copy())

    def add(self, entry: Entry) -> None:
        """Add the newest entry."""
        self._entries.append(entry)
        self._added += 1
        self._size += entry[0]
        if self._size > self._max_size:
            self._trim()

    def copy(self) -> deque[Entry]:
        """The entries of this moment; in any thread."""
        return self._entries.copy()

    def _trim(self) -> None:
        self._size = self.size  # of a copy: clients in other threads go on adding
        if self._size > self._max_size:
            while self._entries and self._size > self._max_size * 3 // 4:
                self._size -= self._entries.popleft()[0]
