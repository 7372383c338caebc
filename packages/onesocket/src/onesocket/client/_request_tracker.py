"""Requests on one connection: ids, answers, time-outs and losses; the asyncio shell around a `RequestTable`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Final, Protocol

from ..errors import DecodeError, DeliveryUnknown, OnesocketError, RequestLost
from ..protocols._request_table import RequestTable
from ..protocols._requests import RequestId
from ._delivery import Delivery
from ._fan_out import FanOut
from ._options import Options
from ._request_calls import AnswerSink, MakeFrame, MakeStop, requests_of, timed_out
from ._sender import Sender
from ._user_code import USER_ERRORS

_LOST: Final = (
    "the connection was lost before the answer came: the request may or may not have been carried out; ask again only "
    "if that does no harm, or with resend=True when that is so"
)


class PendingRequest(Protocol):
    """A request that waits for answers."""

    delivery: Delivery | None

    def take(self, answer: Any) -> None:
        """Take an answer."""

    def fail(self, error: OnesocketError) -> None:
        """End with this error: it was not sent, or the connection on which it was sent is gone."""


class RequestTracker:
    """Sends requests, and takes their answers out of the messages for the subscribers.

    Requests go the way of messages: in their order, at their pace, and through the outbox while the connection is down.
    """

    __slots__ = ("_fan_out", "_has_reported", "_options", "_remind", "_report", "_sender", "table")

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
        self._fan_out = fan_out
        self._sender = sender
        self._remind = remind
        self._report = report
        self._has_reported = False

    def __repr__(self) -> str:
        return f"<RequestTracker {self.table!r}>"

    # --- received messages --------------------------------------------------------------------------------------------

    def publish(self, message: Any) -> None:
        """Deliver a message: to the request that it answers, or to the subscribers."""
        if self.table.is_idle or not self._take(message):
            self._fan_out.publish(message)

    def publish_many(self, batch: list[Any]) -> None:
        """Deliver several messages, as `publish`."""
        if not self.table.is_idle:
            batch = [message for message in batch if not self._take(message)]
        if batch:
            self._fan_out.publish_many(batch)

    def _take(self, message: Any) -> bool:
        """Take an answer; returns False for any other message."""
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

    async def request(self, make: MakeFrame, timeout: float | None, *, resend: bool = False) -> Any:
        """Send a request and return its answer. Raises `RequestTimeout`, `RequestLost`, or as `Client.send()`.

        `resend`: after a loss, it is sent again on the next connection.
        """
        loop = asyncio.get_running_loop()
        due = None if timeout is None else loop.time() + timeout
        while True:
            asked = self.ask(make)
            timer = None if due is None else loop.call_at(due, self._on_timeout, asked, timeout)
            try:
                return await asked.answer
            except RequestLost:
                if not resend:
                    raise
            finally:
                if timer is not None:
                    timer.cancel()
                self.forget(asked)

    def ask(self, make: MakeFrame) -> AskedRequest:
        """Send a request, as `Client.send_nowait()` sends a message; await its `answer`, and `forget` it then."""
        asked = AskedRequest(asyncio.get_running_loop().create_future())
        asked.id = self.post(asked, make)
        return asked

    def forget(self, asked: AskedRequest) -> None:
        """End a request whose answer is not awaited any more."""
        answer = asked.answer
        if not answer.done() or answer.cancelled():
            self.give_up(asked.id, asked)
        elif asked.id in self.table.pending:
            if self._has_more(answer):
                self.table.abandon(asked.id, is_answered=True)
            else:
                del self.table.pending[asked.id]

    def _on_timeout(self, asked: AskedRequest, timeout: float | None) -> None:
        if not asked.answer.done():
            was_sent = self.give_up(asked.id, asked)
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

    def open_stream(self, make: MakeFrame, stop: MakeStop | None, sink: AnswerSink) -> Callable[[], None]:
        """Send a request whose answers go to `sink`; returns the function that closes the stream. Raises as `post`."""
        request = StreamRequest(self, sink, stop)
        request.id = self.post(request, make)
        return functools.partial(self._close_stream, request)

    def _close_stream(self, request: StreamRequest) -> None:
        """Drop the answers that are still to come, and have the peer stop them."""
        if self.table.pending.get(request.id) is not request or not self.give_up(request.id, request):
            return
        self.table.abandon(request.id, is_answered=True)
        try:
            frame = None if request.stop is None else request.stop(request.id, self._new_unanswered_id)
            if frame is not None:
                self._sender.post(frame)
        except USER_ERRORS as error:
            if not isinstance(error, OnesocketError):  # else the connection is closing, or takes no more
                self.report(error, "stop")

    def _new_unanswered_id(self) -> RequestId:
        """Return an id for a message whose answer no caller awaits."""
        id_ = self.table.new_id(requests_of(self._options.protocol).make_id)
        self.table.abandon(id_, is_answered=True)
        return id_

    def post(self, pending: PendingRequest, make: MakeFrame) -> RequestId:
        """Send a request under an id of its own, as `Client.send_nowait()` sends a message; returns the id."""
        table = self.table
        id_ = table.new_id(requests_of(self._options.protocol).make_id)
        delivery = pending.delivery = self._sender.post(make(id_))
        table.pending[id_] = pending
        if not delivery.done:
            delivery.on_done = functools.partial(self._on_delivery, id_, pending)
            self._remind()
        return id_

    def _on_delivery(self, id_: RequestId, pending: PendingRequest, delivery: Delivery) -> None:
        """Note the fate of a message that went through the outbox, or was being written."""
        if delivery.error is None or self.table.pending.pop(id_, None) is None:
            return
        error = delivery.error.copy()
        if isinstance(error, DeliveryUnknown):
            lost = RequestLost(_LOST)
            lost.__cause__ = error
            pending.fail(lost)
        else:
            pending.fail(error)

    def give_up(self, id_: RequestId, pending: PendingRequest) -> bool:
        """End a request that wants no answer any more; returns False if it was not sent, and is not any more."""
        delivery = pending.delivery
        is_unsent = delivery is None or (not delivery.done and self._sender.withdraw(delivery))
        if is_unsent:
            self.table.pending.pop(id_, None)
        elif id_ in self.table.pending:
            self.table.abandon(id_)
        return not is_unsent

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
        for id_, pending in tuple(table.pending.items()):
            if pending.delivery is None or pending.delivery.done:
                del table.pending[id_]
                pending.fail(RequestLost(_LOST))


class StreamRequest:
    """A request with a stream of answers, which go to `sink`."""

    __slots__ = ("_sink", "_tracker", "delivery", "id", "stop")

    def __init__(self, tracker: RequestTracker, sink: AnswerSink, stop: MakeStop | None) -> None:
        self.id: RequestId = 0
        self.delivery: Delivery | None = None
        self.stop = stop
        self._tracker = tracker
        self._sink = sink

    def take(self, answer: Any) -> None:
        """Pass an answer on, and end with the last one."""
        is_last = self._tracker.is_last(answer)
        if is_last:
            del self._tracker.table.pending[self.id]
        self._sink.take(answer)
        if is_last:
            self._sink.end()

    def fail(self, error: OnesocketError) -> None:
        """Pass the end on."""
        self._sink.fail(error)


class AskedRequest:
    """A request with one answer."""

    __slots__ = ("answer", "delivery", "id")

    def __init__(self, answer: asyncio.Future[Any]) -> None:
        self.answer = answer
        self.id: RequestId = 0
        self.delivery: Delivery | None = None
        """The fate of the message; None: it was not sent."""

    def take(self, answer: Any) -> None:
        """Resolve it; a second answer is dropped."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: OnesocketError) -> None:
        """Fail it."""
        if not self.answer.done():
            self.answer.set_exception(error)
