"""The option `outbox=` for messages that survive a restart."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from .._record import record
from ..errors import InvalidOption
from ..wire._handshake import Data


@record
class StoredMessage:
    """A message of an earlier run of the program, as it was found in the file of a `DurableOutbox`."""

    data: Data = field(repr=False)
    """The encoded message."""
    message_id: str | int | None
    """Its id, by the protocol's `Acknowledgement`; None: the protocol names none."""
    stored_at: float
    """When it was accepted, in seconds since 1970."""
    may_have_arrived: bool
    """True if it may have been sent before, so the peer may get it twice; also of those that were just to be sent."""


@dataclass(frozen=True)
class DurableOutbox:
    """An outbox on disk: accepted messages survive the end of the program, and are sent in order.

    One client at a time uses a file. It is opened by the first `connect()` or `send()`; its mode is 0600, and the
    messages lie in it unencrypted. With an `Acknowledgement` (the protocol's `acknowledges=`), a message stays until
    the peer has acknowledged it; without one, until the kernel has it.

    Parameters:
        path: The SQLite file, in a directory that exists, on a local file system; SQLite keeps ``PATH-wal`` beside it.
        messages: How many messages may wait, or be unacknowledged.
        bytes: How many bytes they may have, all together.
        age: Seconds after which a message is given up, counted over restarts by the system's clock; ``math.inf``: none
            is.
    """

    path: str | os.PathLike[str]
    messages: int = 10_000
    bytes: int = 16 * 2**20
    age: float = 86_400.0
    restored: list[StoredMessage] = field(default_factory=list[StoredMessage], init=False, repr=False, compare=False)
    """The messages of earlier runs, as they were in the file when it was opened, in order; sent until they expire."""

    def __post_init__(self) -> None:
        given: Any = self.path
        path: Any = os.fspath(cast("str", given)) if isinstance(given, str | os.PathLike) else None
        if not isinstance(path, str) or not path or "\0" in path:
            raise InvalidOption(f"DurableOutbox: path must be the path of a file, not {given!r}")
        if path == ":memory:":
            raise InvalidOption("DurableOutbox: ':memory:' survives no restart; for that, use OutboxLimits()")
        object.__setattr__(self, "path", str(Path(path).absolute()))  # a later chdir() changes nothing
        for name in ("messages", "bytes"):
            value: Any = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidOption(f"DurableOutbox: {name} must be a whole number >= 1, not {value!r}")
        age: Any = self.age
        if not isinstance(age, int | float) or isinstance(age, bool) or not age > 0:
            raise InvalidOption(f"DurableOutbox: age must be a number of seconds > 0, not {age!r}")
