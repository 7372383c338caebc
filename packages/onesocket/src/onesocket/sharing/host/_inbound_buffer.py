"""Messages from the owner on their way into this process: decoded, held back on request, with gap markers in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ...client._gap import Gap, GapReason, merge_gaps
from ...errors import DecodeError
from ...wire._handshake import Data
from .._upstream import UpstreamEvents
from ._forwarding_protocol import decode_all
from ._ipc_frames import SnapshotAnswer

_OVERHEAD: Final = 64
"""Bytes that a held message and a held batch count beside their own: about the size of an object and a reference to it.
Without that, short messages would take many times the limit, and empty ones would have none."""


class InboundBuffer:
    """Passes messages to the sink. While it is held, up to `limit` bytes wait; the rest is dropped and counted.

    A single message that is longer waits if nothing else does.
    """

    def __init__(
        self, decode: Callable[[Data], Any], limit: int, on_undecodable: Callable[[], object] = lambda: None
    ) -> None:
        self._decode = decode
        self._limit = limit
        self._on_undecodable = on_undecodable
        self._sink: UpstreamEvents | None = None
        self.on_snapshot: Callable[..., object] | None = None
        """Called with the number and the decoded messages of an answer, or of a part of it: then `more` is True."""
        self.ask_again: Callable[[int], object] | None = None
        """Called with the number of an answer that came behind dropped messages."""
        self._waiting: deque[list[Data] | Gap | SnapshotAnswer] = deque()
        self._bytes = 0
        self._dropped: Gap | None = None
        """Marker behind all that waits, for what came later."""
        self._dropped_answers: dict[int, None] = {}
        """The numbers of the answers that came later."""
        self.is_held = False
        self.epoch = 0
        self.due: Gap | None = None
        """Marker to be passed on before the next message."""

    def __repr__(self) -> str:
        return f"<InboundBuffer {'held' if self.is_held else 'flowing'} bytes={self._bytes} dropped={self._dropped}>"

    def attach(self, sink: UpstreamEvents) -> None:
        """Set the sink."""
        self._sink = sink

    def on_messages(self, batch: list[Data]) -> None:
        """Pass on, hold or drop undecoded messages."""
        if not self.is_held:
            self._pass_on_behind_due(batch)
            return
        due, self.due = self.due, None
        if due is not None:
            self.on_gap(due)
        fitting = [] if self._dropped is not None else self._fitting(batch)
        if fitting:
            self._waiting.append(fitting)
        if len(fitting) < len(batch):
            more = Gap(GapReason.OVERFLOW, self.epoch, len(batch) - len(fitting))
            self._dropped = more if self._dropped is None else merge_gaps(self._dropped, more)

    def _fitting(self, batch: list[Data]) -> list[Data]:
        """The first messages of a batch for which there is room."""
        fitting: list[Data] = []
        total = self._bytes + _OVERHEAD
        for data in batch:
            total += _OVERHEAD + len(data)
            if total > self._limit and (self._bytes or fitting):  # a longer one passes, alone
                break
            fitting.append(data)
        if fitting:
            self._bytes += _buffered_bytes(fitting)
        return fitting

    def on_gap(self, gap: Gap) -> None:
        """Pass on or hold a gap marker."""
        if not self.is_held:
            try:
                if self._sink is not None:
                    self._sink.gap(gap)
            except Exception:  # as in `_pass_on_behind_due`
                self._keep(gap)
                raise
        elif self._dropped is not None:
            self._dropped = merge_gaps(self._dropped, gap)
        elif self._waiting and isinstance(last := self._waiting[-1], Gap):
            self._waiting[-1] = merge_gaps(last, gap)
        else:
            self._waiting.append(gap)

    def _keep(self, gap: Gap) -> None:
        """Pass a marker on before the next message."""
        self.due = gap if self.due is None else merge_gaps(self.due, gap)

    def on_answer(self, answer: SnapshotAnswer) -> None:
        """Pass on or hold the messages with which a late reader begins."""
        if not self.is_held:
            self._pass_on_answer(answer)
        elif self._dropped is not None:
            self._dropped_answers[answer.number] = None
        else:
            self._waiting.append(answer)

    def _pass_on_answer(self, answer: SnapshotAnswer) -> None:
        if self.on_snapshot is None:
            return
        messages = [
            Gap(GapReason.UNDECODABLE, self.epoch, 1, message) if isinstance(message, DecodeError) else message
            for message in decode_all(self._decode, answer.messages)
        ]
        self.on_snapshot(answer.number, messages, more=answer.more)

    def hold(self) -> None:
        """Pass nothing on."""
        self.is_held = True

    def release(self) -> None:
        """Pass messages on again, beginning with those that wait."""
        self.is_held = False
        while self._waiting and not self.is_held:
            item = self._waiting.popleft()
            try:
                self._pass_on_waiting(item)
            except Exception:  # as in `_pass_on_behind_due`; the others follow
                loop = asyncio.get_running_loop()
                if isinstance(item, SnapshotAnswer) and self.ask_again is not None:
                    loop.call_soon(self.ask_again, item.number)
                loop.call_soon(self._go_on)
                raise
        if not self._waiting and self._dropped is not None:
            dropped, self._dropped = self._dropped, None
            self.on_gap(dropped)
            answers, self._dropped_answers = self._dropped_answers, {}
            for number in answers:
                if self.ask_again is not None:
                    self.ask_again(number)

    def _go_on(self) -> None:
        if not self.is_held:
            self.release()

    def _pass_on_waiting(self, item: list[Data] | Gap | SnapshotAnswer) -> None:
        if isinstance(item, Gap):
            self.on_gap(item)
        elif isinstance(item, SnapshotAnswer):
            self._pass_on_answer(item)
        else:
            self._bytes -= _buffered_bytes(item)
            self._pass_on_behind_due(item)

    def _pass_on_behind_due(self, batch: list[Data]) -> None:
        due, self.due = self.due, None
        try:
            if due is not None:
                self.on_gap(due)
            self._pass_on(batch)
        except Exception:  # no memory, or a bug: some readers may have it, others not
            self._keep(Gap(GapReason.OVERFLOW, self.epoch))
            raise

    def _pass_on(self, batch: list[Data]) -> None:
        sink = self._sink
        if sink is None:
            return
        messages = decode_all(self._decode, batch)
        if messages is batch or not any(isinstance(message, DecodeError) for message in messages):
            sink.messages(messages)
            return
        good: list[Any] = []
        for message in messages:
            if isinstance(message, DecodeError):
                if good:
                    sink.messages(good)
                    good = []
                self._on_undecodable()
                sink.gap(Gap(GapReason.UNDECODABLE, self.epoch, 1, message))
            else:
                good.append(message)
        if good:
            sink.messages(good)


def _buffered_bytes(batch: list[Data]) -> int:
    return _OVERHEAD * (1 + len(batch)) + sum(map(len, batch))
