"""Calls the sinks of one client with its messages: the hot path of everything that is received."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any

from ._callback import Callback, CallbackHost
from ._queue import Overflow
from ._reader_options import ReaderOptions
from ._sinks import Sink, SinkTable, batch_sink_of, name_of
from ._user_code import USER_ERRORS, raise_in_loop


class SinkCaller:
    """The sinks of one client, and the calls to them, whose errors are isolated."""

    __slots__ = ("_batch", "_direct", "_event_of", "_report", "_rest", "_sinks", "delivered")

    def __init__(self, event_of: Callable[[Any], str | None], report: Callable[[BaseException, str], None]) -> None:
        self._event_of = event_of
        self._report = report
        self._sinks = SinkTable()
        self._batch: list[Any] = []
        """The batch that callbacks are being called with; streams have it already."""
        self._rest: Iterator[Any] = iter(())
        """The messages of it that callbacks have not got yet."""
        self._direct: list[Callback] = []
        """The callbacks whose functions are sinks themselves."""
        self.delivered: int = 0

    @property
    def has_callbacks(self) -> bool:
        """True if plain functions are called in the turn of the loop that delivers."""
        return bool(self._direct)

    def publish(self, message: Any) -> None:
        """Deliver one message to all subscribers."""
        self.delivered += 1
        sinks = self._sinks
        event = self._name_of(message) if sinks.named else None
        named = sinks.named.get(event) if event is not None else None
        for sink in sinks.all:
            # As `_deliver`, but in line: a call for each message costs as much as the rest.
            try:
                answer = sink(message)
            except BaseException as error:  # noqa: BLE001 - reported, or raised in the loop
                self._failed(None, sink, error)
            else:
                if answer is not None:
                    self._await_answer(None, sink, answer)
        if named is not None:
            self._deliver(message, named, event)

    def publish_many(self, batch: list[Any]) -> None:
        """Deliver several messages: to streams at once, then to callbacks one by one.

        A subscriber that is added by a callback begins with the message after.
        """
        if len(batch) == 1:
            self.publish(batch[0])
            return
        self.delivered += len(batch)
        for many in self._sinks.batches:
            try:
                many(batch)
            except USER_ERRORS as error:
                self._report(error, name_of(many))
        if self._sinks.calls or self._sinks.named:
            outer = self._batch, self._rest
            self._batch, self._rest = batch, iter(batch)
            try:
                self._call_each(self._rest)
            finally:
                self._batch, self._rest = outer

    def _call_each(self, messages: Iterator[Any]) -> None:
        sinks = self._sinks
        if len(sinks.calls) == 1 and not sinks.named:
            self._call_only(sinks.calls, messages)
        for message in messages:
            if sinks.named:
                event = self._name_of(message)
                named = sinks.named.get(event, ()) if event is not None else ()
                self._deliver(message, sinks.calls, None)
                self._deliver(message, named, event)
                continue
            for sink in sinks.calls:
                # As `_deliver`, but in line: a call for each message costs as much as the rest.
                try:
                    answer = sink(message)
                except BaseException as error:  # noqa: BLE001 - reported, or raised in the loop
                    self._failed(None, sink, error)
                else:
                    if answer is not None:
                        self._await_answer(None, sink, answer)

    def _call_only(self, calls: tuple[Sink, ...], messages: Iterator[Any]) -> None:
        """Call the only sink with each message, until sinks are added or removed: no loop over sinks per message."""
        (sink,) = calls
        sinks = self._sinks
        for message in messages:
            try:
                answer = sink(message)
            except BaseException as error:  # noqa: BLE001 - reported, or raised in the loop
                self._failed(None, sink, error)
            else:
                if answer is not None:
                    self._await_answer(None, sink, answer)
            if sinks.calls is not calls or sinks.named:
                return

    def _deliver(self, message: Any, sinks: tuple[Sink, ...], event: str | None) -> None:
        for sink in sinks:
            try:
                answer = sink(message)
            except BaseException as error:  # noqa: BLE001 - reported, or raised in the loop
                self._failed(event, sink, error)
            else:
                if answer is not None:
                    self._await_answer(event, sink, answer)

    def _failed(self, event: str | None, sink: Sink, error: BaseException) -> None:
        """A sink raised this: report it. A callback that raised what is no `Exception` is removed."""
        callback = None if isinstance(error, USER_ERRORS) else self._direct_callback(event, sink)
        if callback is not None:
            callback.fail(error)
        elif isinstance(error, KeyboardInterrupt | SystemExit):
            raise_in_loop(error)
        else:
            self._report(error, name_of(sink))

    def _await_answer(self, event: str | None, sink: Sink, answer: object) -> None:
        """Have an awaitable that a plain callback returned awaited in a task, before the next message."""
        if not inspect.isawaitable(answer):
            return
        callback = self._direct_callback(event, sink)
        if callback is None:  # it has removed itself in this call, which it finishes
            options = ReaderOptions(event, None, 1, Overflow.FAIL, gaps=False)
            callback = Callback(sink, options, self._new_callback_host())
            callback.remove()
        callback.await_answer(answer)

    def _direct_callback(self, event: str | None, sink: Sink) -> Callback | None:
        for callback in self._direct:
            options = callback.options
            if options.where is None and options.event == event and callback.function == sink:
                return callback
        return None

    def _name_of(self, message: Any) -> str | None:
        try:
            event: object = self._event_of(message)
        except USER_ERRORS as error:
            self._report(error, "the protocol's event name")
            return None
        # A function of the caller's own may find anything in a message that the peer wrote.
        return event if isinstance(event, str) else None

    def _new_callback_host(self) -> CallbackHost:
        """Return what a callback needs that is called in a task."""
        raise NotImplementedError

    def _add(self, event: str | None, sink: Sink, gap_sink: Sink | None) -> Callable[[], None]:
        remove = self._sinks.add(event, sink, gap_sink)
        many = batch_sink_of(sink) if event is None else None
        if many is not None and (left := operator.length_hint(self._rest)):
            many(self._batch[-left:])  # it missed the moment at which the streams got these
        return remove
