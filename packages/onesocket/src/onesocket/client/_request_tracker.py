"""Requests on one connection: ids, answers, time-outs and losses; the asyncio shell around a `RequestTable`."""

from __future__ import annotations

import abc
import asyncio
import functools
from collections.abc import Callable
from typing import Any, Final

from ..errors import DecodeError, DeliveryUnknown, OnesocketError, RequestLost
from ..protocols._request_table import NumberedFrame, RequestTable
from ..protocols._requests import RequestId
from ..wire._handshake import Data
from ._delivery import Delivery
from ._fan_out import FanOut
from ._loop_future import resolve_on_loop
from ._options import Options
from ._request_calls import ASKER_GONE, AnswerSink, MakeFrame, MakeStop, earlier_fate, requests_of, timed_out
from ._sender import Sender
from ._user_code import USER_ERRORS

_LOST: Final = (
    "the connection was lost before the answer came: the request may or may not have been carried out; ask again only "
    "if that does no harm, or with resend=True when that is so"
)


class PendingRequest(NumberedFrame, abc.ABC):
    """A request that waits to be sent, or for answers."""

    __slots__ = ("delivery", "is_lasting", "is_waiting")

    def __init__(
        self,
        table: RequestTable[PendingRequest],
        make_id: Callable[[int], RequestId],
        make: MakeFrame,
        *,
        is_lasting: bool = False,
    ) -> None:
        NumberedFrame.__init__(self, table, make_id, make)
        self.delivery: Delivery | None = None
        """The fate of the message; None: it was not accepted."""
        self.is_lasting = is_lasting
        self.is_waiting = True
        """True until it is sent: a message with its id is no answer yet."""

    def on_sent(self) -> None:
        """Wait for answers."""
        table = self.table
        table.newest_sent, table.pending[self.id] = self.number, self
        self.is_waiting = False

    @abc.abstractmethod
    def take(self, answer: Any) -> None:
        """Take an answer."""

    @abc.abstractmethod
    def fail(self, error: OnesocketError) -> None:
        """End with this error: it was not sent, or the connection on which it was sent is gone."""


class RequestTracker:
    """Sends requests, and takes their answers out of the messages for the subscribers.

    Requests go the way of messages: in their order, at their pace, and through the outbox while the connection is down.
    """

    __slots__ = ("_fan_out", "_has_reported", "_options", "_remind", "_report", "_sender", "_stops", "make_id", "table")

    def __init__(
        self,
        options: Options,
        fan_out: FanOut,
        sender: Sender,
        *,
        remind: Callable[[], None],
        report: Callable[[BaseException, str], None],
    ) -> None:
        self.table: RequestTable[PendingRequest] = RequestTable()
        self._options = options
        self.make_id = requests_of(options.protocol).make_id
        """Makes an id of a number."""
        self._fan_out = fan_out
        self._sender = sender
        self._remind = remind
        self._report = report
        self._has_reported = False
        self._stops: list[Delivery] = []
        """Messages that stop streams on the present connection, and are not sent yet."""

    def __repr__(self) -> str:
        return f"<RequestTracker {self.table!r}>"

    # --- received messages --------------------------------------------------------------------------------------------

    def publish(self, message: Any) -> None:
        """Deliver a message: to the request that it answers, or to the subscribers."""
        if not self.take(message):
            self._fan_out.publish(message)

    def publish_many(self, batch: list[Any]) -> None:
        """Deliver several messages, as `publish`."""
        if not self.table.is_idle:
            batch = [message for message in batch if not self._take(message)]
        if batch:
            self._fan_out.publish_many(batch)

    def take(self, message: Any) -> bool:
        """Take an answer; returns False for any other message."""
        return not self.table.is_idle and self._take(message)

    def _take(self, message: Any) -> bool:
        requests = self._options.protocol.requests
        try:
            found = None if requests is None else requests.find(message)
        except USER_ERRORS as error:
            if not isinstance(error, DecodeError):  # of a message that another process decodes, and reports
                self.report(error, "id_of")
            return False
        if found is None:
            return False
        pending = self.table.pending.get(found)
        if pending is not None:
            self._fan_out.delivered += 1
            pending.take(message)
            return True
        is_late = self.table.drop_late(found)
        self._fan_out.delivered += is_late
        return is_late

    def report(self, error: BaseException, function: str) -> None:
        """Report what a function of `Requests` raised, once."""
        if not self._has_reported:
            self._has_reported = True
            self._report(error, f"{function} of Requests")

    # --- requests -----------------------------------------------------------------------------------------------------

    async def request(
        self, make: MakeFrame, timeout: float | None, *, resend: bool = False, tells_fate: bool = False
    ) -> Any:
        """Send a request and return its answer. Raises `RequestTimeout`, `RequestLost`, or as `Client.send()`.

        `resend`: after a loss, it is sent again on the next connection. `tells_fate`: cancelled after it was sent, it
        raises `RequestLost` in place of the cancellation.
        """
        loop = asyncio.get_running_loop()
        due = None if timeout is None else loop.time() + timeout
        lost: RequestLost | None = None
        is_given_up = False
        while True:
            try:
                asked = self.ask(make, is_lasting=lost is not None)
                timer = None if due is None else loop.call_at(due, self._on_timeout, asked, timeout)
                try:
                    return await asked.answer
                except (asyncio.CancelledError, GeneratorExit):  # GeneratorExit: of a connection that moves
                    is_given_up = True
                    if tells_fate and (not asked.is_waiting or lost is not None):
                        raise RequestLost(ASKER_GONE) from None
                    raise
                finally:
                    if timer is not None:
                        timer.cancel()
                    self.forget(asked)
            except OnesocketError as error:
                if is_given_up:
                    raise
                if resend and isinstance(error, RequestLost):
                    lost = error
                elif lost is None:
                    raise
                else:
                    raise earlier_fate(lost, error, timeout) from error

    def ask(self, make: MakeFrame, *, is_lasting: bool = False) -> AskedRequest:
        """Send a request, as `Client.send_nowait()` sends a message; await its `answer`, and `forget` it then.

        `is_lasting`: it waits for the connection whatever the limits of the outbox are.
        """
        asked = AskedRequest(self, make, is_lasting=is_lasting)
        self.post(asked)
        return asked

    def forget(self, asked: AskedRequest) -> None:
        """End a request whose answer is not awaited any more."""
        answer = asked.answer
        if not answer.done() or answer.cancelled():
            self.give_up(asked)
        elif self.table.pending.get(asked.id) is asked:
            if self._has_more(answer):
                self.table.abandon(asked.id, is_answered=True)
            else:
                del self.table.pending[asked.id]

    def _on_timeout(self, asked: AskedRequest, timeout: float | None) -> None:
        if not asked.answer.done():
            was_sent = self.give_up(asked)
            asked.fail(timed_out(timeout, was_sent=was_sent))

    def _has_more(self, answer: asyncio.Future[Any]) -> bool:
        """Return whether messages with the same id may follow the answer that was taken."""
        may_have = requests_of(self._options.protocol).last is not None and answer.exception() is None
        return may_have and not self.is_last(answer.result())

    def is_last(self, answer: Any) -> bool:
        """Return whether no message with the same id follows this one."""
        try:
            return requests_of(self._options.protocol).ends(answer)
        except USER_ERRORS as error:
            self.report(error, "last or refused")
            return True

    # --- streams of answers -------------------------------------------------------------------------------------------

    def open_stream(
        self, make: MakeFrame, stop: MakeStop | None, sink: AnswerSink, *, is_lasting: bool = False
    ) -> Callable[[], None]:
        """Send a request whose answers go to `sink`; returns the function that closes the stream. Raises as `post`.

        `is_lasting`: as of `ask`.
        """
        request = StreamRequest(self, make, stop, sink, is_lasting=is_lasting)
        self.post(request)
        return functools.partial(self._close_stream, request)

    def _close_stream(self, request: StreamRequest) -> None:
        """Drop the answers that are still to come, and have the peer stop them."""
        if not self.give_up(request):
            return
        self.table.abandon(request.id, is_answered=True)
        try:
            frame = None if request.stop is None else request.stop(request.id, self._new_unanswered_id)
            if frame is not None:
                self._post_stop(frame)
        except USER_ERRORS as error:
            if not isinstance(error, OnesocketError):  # else the connection is closing, or takes no more
                self.report(error, "stop")

    def _post_stop(self, frame: Data) -> None:
        """Send a message that stops a stream, on the present connection alone."""
        delivery = self._sender.post(frame)
        if not delivery.done:
            delivery.on_done = _ignore
            self._stops = [*(stop for stop in self._stops if not stop.done), delivery]

    def _new_unanswered_id(self) -> RequestId:
        """Return an id for a message whose answer no caller awaits."""
        id_ = self.table.new_id(self.make_id)
        self.table.newest_sent = self.table.number
        self.table.abandon(id_, is_answered=True)
        return id_

    def post(self, request: PendingRequest) -> None:
        """Send a request, as `Client.send_nowait()` sends a message."""
        delivery = request.delivery = self._sender.post(request.data, late=request)
        if delivery.late is None:
            request.on_sent()
        if not delivery.done:
            delivery.on_done = functools.partial(self._on_delivery, request)
            self._remind()

    def _on_delivery(self, request: PendingRequest, delivery: Delivery) -> None:
        """Note the fate of a message that went through the outbox, or was being written."""
        if delivery.error is None:
            return
        if self._is_pending(request):
            del self.table.pending[request.id]
        elif not request.is_waiting:
            return
        error = delivery.error.copy()
        if isinstance(error, DeliveryUnknown):
            lost = RequestLost(_LOST)
            lost.__cause__ = error
            request.fail(lost)
        else:
            request.fail(error)

    def _is_pending(self, request: PendingRequest) -> bool:
        return self.table.pending.get(request.id) is request

    def give_up(self, request: PendingRequest) -> bool:
        """End a request that wants no answer any more; returns False if it was not sent, or is over."""
        if request.is_waiting:
            if request.delivery is not None:
                self._sender.withdraw(request.delivery)
            return False
        if not self._is_pending(request):
            return False
        self.table.abandon(request.id)
        return True

    def sent_with(self, in_flight: list[Delivery]) -> list[RequestId]:
        """The requests that were sent on the present connection, or are among the deliveries in flight on it."""
        flying = set(map(id, in_flight))
        return [
            id_
            for id_, pending in self.table.pending.items()
            if pending.delivery is None or pending.delivery.done or id(pending.delivery) in flying
        ]

    def lose(self, ids: list[RequestId]) -> None:
        """Fail those of these requests that have no answer, as their connection is gone; a successor has its place."""
        for id_ in ids:
            pending = self.table.pending.get(id_)
            if pending is not None and (pending.delivery is None or pending.delivery.done):
                del self.table.pending[id_]
                pending.fail(RequestLost(_LOST))

    def connection_ended(self) -> None:
        """Fail the requests that were sent on the connection that is gone; others wait for the next one."""
        table = self.table
        table.begin()
        stops, self._stops = self._stops, []
        for stop in stops:
            self._sender.withdraw(stop)
        for id_, pending in tuple(table.pending.items()):
            if pending.delivery is None or pending.delivery.done:
                del table.pending[id_]
                pending.fail(RequestLost(_LOST))


class StreamRequest(PendingRequest):
    """A request with a stream of answers, which go to `sink`."""

    __slots__ = ("_sink", "_tracker", "stop")

    def __init__(
        self, tracker: RequestTracker, make: MakeFrame, stop: MakeStop | None, sink: AnswerSink, *, is_lasting: bool
    ) -> None:
        super().__init__(tracker.table, tracker.make_id, make, is_lasting=is_lasting)
        self.stop = stop
        self._tracker = tracker
        self._sink = sink

    def take(self, answer: Any) -> None:
        """Pass an answer on, and end with the last one."""
        is_last = self._tracker.is_last(answer)
        if is_last:
            del self.table.pending[self.id]
        self._sink.take(answer)
        if is_last:
            self._sink.end()

    def fail(self, error: OnesocketError) -> None:
        """Pass the end on."""
        self._sink.fail(error)


class AskedRequest(PendingRequest):
    """A request with one answer."""

    __slots__ = ("answer",)

    def __init__(self, tracker: RequestTracker, make: MakeFrame, *, is_lasting: bool) -> None:
        super().__init__(tracker.table, tracker.make_id, make, is_lasting=is_lasting)
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def take(self, answer: Any) -> None:
        """Resolve it; a second answer is dropped."""
        if not self.answer.done():
            resolve_on_loop(self.answer, answer)

    def fail(self, error: OnesocketError) -> None:
        """Fail it."""
        if not self.answer.done():
            resolve_on_loop(self.answer, error=error)


def _ignore(_: Delivery) -> None:
    """Report no failure: with its connection, a stream ends anyway."""
