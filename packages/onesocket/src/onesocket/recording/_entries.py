"""Entries of a recorder: finished lines, and messages that become lines only when they are written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..wire._handshake import Data
from ._lines import DialLine, Line, OpenLine, ReceivedLine, SentLine, message_size
from ._redaction import Redaction
from ._ring import ENTRY_BYTES

Message = tuple[int, "RecordedConnection", bool, Data, bool, float, float]
"""Memory, connection, outgoing, message, in the login, time of the loop, Unix time."""
Entry = Message | tuple[int, Line, "RecordedConnection | None"]
Add = Callable[[Entry], None]


class RecordedConnection:
    """One connection of a recorder; its messages refer to it."""

    def __init__(self, add: Add, now: Callable[[], float], redaction: Redaction, client: int, epoch: int) -> None:
        self.redaction = redaction
        self.in_login = True
        """True until the client is CONNECTED: messages may hold credentials."""
        self.is_closing = False
        """True once one of both sides has begun to close, or the server has broken the rules: a CLOSE was sent."""
        self.opening: list[Line] = []
        """Its first lines, which a ring may have dropped."""
        self._add = add
        self._now = now
        self._client = client
        self._epoch = epoch

    def __repr__(self) -> str:
        return f"<RecordedConnection client={self._client} epoch={self._epoch}>"

    def note(self, kind: type[Line], **values: Any) -> None:
        """Record a line."""
        line = kind(t=self._now(), at=time.time(), client=self._client, epoch=self._epoch, **values)
        if isinstance(line, DialLine | OpenLine):
            self.opening.append(line)
        self._add((ENTRY_BYTES + len(str(values)), line, self))

    def message(self, data: Data, *, outgoing: bool) -> None:
        """Record a message."""
        self._add((sys.getsizeof(data) + ENTRY_BYTES, self, outgoing, data, self.in_login, self._now(), time.time()))

    def receiver(self, received: Callable[[Data], object]) -> Callable[[Data], object]:
        """A function that records a message, and then calls `received`."""
        add, now, wall, memory = self._add, self._now, time.time, sys.getsizeof

        def receive(data: Data) -> object:
            add((memory(data) + ENTRY_BYTES, self, False, data, self.in_login, now(), wall()))
            return received(data)

        return receive

    def batch_receiver(self, received: Callable[[list[Data]], object]) -> Callable[[list[Data]], object]:
        """A function that records messages, and then calls `received`."""

        def receive(batch: list[Data]) -> object:
            t, at = self._now(), time.time()
            for data in batch:
                self._add((sys.getsizeof(data) + ENTRY_BYTES, self, False, data, self.in_login, t, at))
            return received(batch)

        return receive

    def line_of(self, message: Message) -> Line:
        """The line of a message, redacted."""
        _, _, outgoing, data, in_login, t, at = message
        kind = SentLine if outgoing else ReceivedLine
        fields: Any = self.redaction.message(data, outgoing=outgoing, in_login=in_login)
        return kind(t=t, at=at, client=self._client, epoch=self._epoch, size=message_size(data), **fields)


def line_of(entry: Entry) -> Line:
    """The line of an entry."""
    if len(entry) == 3:
        return entry[1]
    return entry[1].line_of(entry)


def lines_of(entries: Iterable[Entry]) -> Iterator[Line]:
    """The lines of these entries; the first lines of a connection also if they were dropped."""
    seen: set[int] = set()
    for entry in entries:
        connection = entry[2] if len(entry) == 3 else entry[1]
        line = line_of(entry)
        if connection is not None and id(connection) not in seen:
            seen.add(id(connection))
            for opening in connection.opening:
                if opening is line:
                    break
                seen.add(id(opening))
                yield opening
        if id(line) not in seen:
            yield line
