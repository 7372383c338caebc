"""The options of a subscription or callback, checked once for both."""

from __future__ import annotations

from dataclasses import replace

from .._record import record
from ..errors import InvalidOption
from ._key_table import KeySelection
from ._options import check_flag
from ._queue import Overflow, check_limit
from ._sinks import Sink
from ._subscription import Predicate
from ._user_code import is_async


@record
class ReaderOptions:
    """Selects the messages of one reader, and bounds its queue."""

    event: str | None
    """Only messages with this event name; None: all."""
    where: Predicate | None
    """Only messages for which this is true; None: all."""
    limit: int
    overflow: Overflow
    gaps: bool
    keys: KeySelection | None = None
    """Only gap markers that are about these keys, or about all; None: all. (`where` has the messages.)"""

    def gap_sink(self, sink: Sink) -> Sink | None:
        """The sink of gap markers, for that of messages; None: they are not wanted."""
        if not self.gaps:
            return None
        return sink if self.keys is None else self.keys.gap_sink(sink)

    def of_keys(self, keys: KeySelection) -> ReaderOptions:
        """Return a copy for the messages and gap markers of some keys."""
        return replace(self, where=keys.within(self.where), keys=keys)

    @classmethod
    def check(
        cls,
        event: object,
        where: Predicate | None,
        limit: object,
        overflow: object,
        *,
        gaps: object,
        names_events: bool = True,
    ) -> ReaderOptions:
        """Options made of a caller's arguments; raises `InvalidOption`. `names_events`: as of the protocol."""
        check_where(where)
        name = check_event(event)
        if name is not None and not names_events:
            raise InvalidOption(
                f"no message can have the event name {name!r}: the protocol has none; tell it where to find them, as "
                'in Json(event="type"), or filter with where='
            )
        return cls(name, where, check_limit(limit), Overflow.of(overflow), check_flag("gaps", gaps))


def check_where(where: object) -> None:
    """Raise `InvalidOption` unless it is a plain function, or None."""
    if where is None:
        return
    if not callable(where):
        raise InvalidOption(f"where must be a function of the message, not {type(where).__name__}")
    if is_async(where):
        raise InvalidOption("where must be a plain function, not a coroutine function: nothing would await it")


def check_event(event: object) -> str | None:
    """An event name, or None for all messages; raises `InvalidOption`."""
    if event is not None and not isinstance(event, str):
        raise InvalidOption(f"an event name is a str, or None for all messages, not {type(event).__name__}")
    return event


def check_callback(callback: object) -> None:
    """Raise `InvalidOption` unless it can be called."""
    if not callable(callback):
        raise InvalidOption(f"on() needs a function, not {type(callback).__name__}")
