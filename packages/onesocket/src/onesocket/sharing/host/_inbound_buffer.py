"""From what the owner forwards to what this process sees: read, held back on request, with its gap markers in place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from ...client._gap import Gap, GapReason
from ...errors import DecodeError
from ...wire._handshake import Data
from ._forwarding_protocol import unpack_all

_OVERHEAD: Final = 64
"""Bytes that a kept message counts beside its own, and a kept batch: about what Python needs for an object and its
place. Without that, short messages would take many times the limit, and empty ones would know none."""
# The marker that stands for several has the strongest reason among them.
_REASONS_BY_SEVERITY: Final = (GapReason.OVERFLOW, GapReason.UNDECODABLE, GapReason.RECONNECTED)


class InboundSink(Protocol):
    """Where it goes."""

    def messages(self, batch: list[Any]) -> None:
        """Messages have arrived."""

    def gap(self, gap: Gap) -> None:
        """Here messages may be missing."""


class InboundBuffer:
    """While it's held, messages wait up to `limit` bytes; what comes then is dropped, counted and told."""

    def __init__(self, decode: Callable[[Data], Any], limit: int) -> None:
        self._decode = decode
        self._limit = limit
        self._sink: InboundSink | None = None
        self._kept: deque[list[Data] | Gap] = deque()
        self._bytes = 0
        self._dropped: Gap | None = None
        """Stands after what is kept, for all that came later."""
        self.is_held = False
        self.epoch = 0
        self.due: Gap | None = None
        """A marker to be told before the next message."""

    def __repr__(self) -> str:
        return f"<Feed {'held' if self.is_held else 'flowing'} kept={self._bytes} dropped={self._dropped}>"

    def attach(self, sink: InboundSink) -> None:
        """Where it goes from now on."""
        self._sink = sink

    def on_messages(self, batch: list[Data]) -> None:
        """Messages, as they came."""
        due, self.due = self.due, None
        if due is not None:
            self.on_gap(due)
        if not self.is_held:
            self._hand_on(batch)
            return
        room = [] if self._dropped is not None else self._fitting(batch)
        if room:
            self._kept.append(room)
        if len(room) < len(batch):
            more = Gap(GapReason.OVERFLOW, self.epoch, len(batch) - len(room))
            self._dropped = more if self._dropped is None else merge_gaps(self._dropped, more)

    def _fitting(self, batch: list[Data]) -> list[Data]:
        """The first of these, as many as there's room for."""
        fitting: list[Data] = []
        total = self._bytes + _OVERHEAD
        for data in batch:
            total += _OVERHEAD + len(data)
            if total > self._limit:
                break
            fitting.append(data)
        if fitting:
            self._bytes += _buffered_bytes(fitting)
        return fitting

    def on_gap(self, gap: Gap) -> None:
        """A gap marker."""
        if not self.is_held:
            if self._sink is not None:
                self._sink.gap(gap)
        elif self._dropped is not None:
            self._dropped = merge_gaps(self._dropped, gap)
        elif self._kept and isinstance(last := self._kept[-1], Gap):
            self._kept[-1] = merge_gaps(last, gap)
        else:
            self._kept.append(gap)

    def hold(self) -> None:
        """Hand nothing on."""
        self.is_held = True

    def release(self) -> None:
        """Go on, with what was kept."""
        self.is_held = False
        while self._kept and not self.is_held:
            item = self._kept.popleft()
            if isinstance(item, Gap):
                self.on_gap(item)
            else:
                self._bytes -= _buffered_bytes(item)
                self._hand_on(item)
        if not self._kept and self._dropped is not None:
            dropped, self._dropped = self._dropped, None
            self.on_gap(dropped)

    def _hand_on(self, batch: list[Data]) -> None:
        sink = self._sink
        if sink is None:
            return
        messages = unpack_all(self._decode, batch)
        if messages is batch or not any(isinstance(message, DecodeError) for message in messages):
            sink.messages(messages)
            return
        good: list[Any] = []
        for message in messages:
            if isinstance(message, DecodeError):
                if good:
                    sink.messages(good)
                    good = []
                sink.gap(Gap(GapReason.UNDECODABLE, self.epoch, 1, message))
            else:
                good.append(message)
        if good:
            sink.messages(good)


def _buffered_bytes(batch: list[Data]) -> int:
    return _OVERHEAD * (1 + len(batch)) + sum(map(len, batch))


def merge_gaps(first: Gap, second: Gap) -> Gap:
    """One marker for two that stand side by side; how many are missing is known only if both say it."""
    missed = None if first.missed is None or second.missed is None else first.missed + second.missed
    weaker, stronger = sorted((first, second), key=lambda gap: _REASONS_BY_SEVERITY.index(gap.reason))
    return Gap(stronger.reason, max(first.epoch, second.epoch), missed, stronger.error or weaker.error)
