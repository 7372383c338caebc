"""Messages, requests and subscriptions of this process, for whichever process owns the connection."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, cast

from ...client._delivery import Delivery
from ...client._key_options import check_subscription_support
from ...client._request_calls import ASKER_GONE, AnswerSink, earlier_fate, timed_out
from ...client._subscription_counts import SubscriptionCounts
from ...client._upstream_subscriptions import KeySubscriber
from ...client._user_code import encode_message
from ...errors import (
    ClientClosed,
    DeliveryUnknown,
    EncodeError,
    InvalidOption,
    IpcError,
    ManuallyDisconnected,
    OnesocketError,
    OpenTimeout,
    OwnerLost,
    RequestLost,
    SubscriptionRefused,
)
from ...lifecycle._effects import Outcome
from ...lifecycle._outbox import OutboxLimits
from ...lifecycle._states import State
from ...protocols._protocol import Protocol
from ...protocols._request_template import RequestTemplate
from ...wire._handshake import Data
from .._client_upstream import CANCELLED_IN_FLIGHT
from ._follower import Follower
from ._ipc_frames import (
    FIRST_REQUEST_NUMBER,
    Answer,
    Ask,
    Cancellation,
    OutboxBounds,
    Request,
    Result,
    Results,
    SendMessages,
    Subscribe,
    SubscriptionRefusal,
    Verb,
    checked_key,
)
from ._local_status import LocalStatus
from ._membership import Membership, Role
from ._process_outbox import EntryState, OutboxEntry, ProcessOutbox

_ANSWER_LOST: Final = (
    "the process that held the connection is gone: the request may or may not have been carried out; ask again only if "
    "that does no harm, or with resend=True when that is so"
)


class ForwardedAnswers:
    """A stream of answers that an owner forwards to this process."""

    __slots__ = ("is_lasting", "is_submitted", "sink", "template")

    def __init__(self, template: RequestTemplate, sink: AnswerSink, *, is_lasting: bool) -> None:
        self.is_lasting = is_lasting
        """True if the request waits for the connection whatever the limits of the owner's outbox are."""
        self.template = template
        self.sink = sink
        self.is_submitted = False
        """True once an owner has the request."""


class ProcessOperations:
    """Submits operations to the present role, and again to the next one where the last owner had not performed them."""

    def __init__(
        self, protocol: Protocol, limits: OutboxLimits | None, membership: Membership, status: LocalStatus
    ) -> None:
        self._protocol = protocol
        self._membership = membership
        self._status = status
        self._limits = limits or OutboxLimits(messages=0)
        self.outbox = ProcessOutbox(self._limits)
        self.subscriptions: SubscriptionCounts[KeySubscriber] = SubscriptionCounts()
        self._request_numbers = itertools.count(FIRST_REQUEST_NUMBER)
        self._requests: dict[int, asyncio.Future[Outcome | None]] = {}
        self._asked: dict[int, asyncio.Future[Data]] = {}
        """Requests to the peer that have no answer yet."""
        self._streams: dict[int, ForwardedAnswers] = {}
        self._is_flush_scheduled = False
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<ProcessOperations {self.outbox!r} requests={len(self._requests)} {self.subscriptions!r}>"

    # --- requests ---------------------------------------------------------------------------------------------------

    async def request(self, verb: Verb, timeout: float | None) -> Outcome | None:
        """Have connect, reconnect or disconnect performed by an owner. Raises `OpenTimeout`, or the owner's error."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    role = await self._membership.acquire_role()
                    try:
                        return await self._request(role, verb)
                    except OwnerLost:
                        if self._is_closed:
                            raise ClientClosed from None
                        await asyncio.sleep(0)
        except OnesocketError:  # OpenTimeout is a TimeoutError, too
            raise
        except TimeoutError:
            if self._membership.join_error is not None:
                raise self._membership.join_error.copy() from None
            present = self._membership.role
            pid = f" (pid {present.peer_pid})" if isinstance(present, Follower) and present.peer_pid else ""
            text = f"no {verb} within {timeout:g} s: the process that holds the connection{pid} did not perform it"
            raise OpenTimeout(text) from None

    async def _request(self, role: Role, verb: Verb) -> Outcome | None:
        number = next(self._request_numbers)
        future: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._requests[number] = future
        role.submit(Request(number, verb))
        try:
            return await future
        except asyncio.CancelledError:
            if self._requests.pop(number, None) is not None:
                role.submit(Cancellation(number))
            raise

    def _fail_requests(self, *, in_order: bool) -> None:
        requests, self._requests = self._requests, {}
        asked, self._asked = self._asked, {}
        lost = OwnerLost("this process, or the one that held the connection, let go of it")
        for request in requests.values():
            if not request.done():
                request.set_exception(lost)
        for answer in asked.values():
            if not answer.done():
                answer.set_exception(lost.copy() if in_order else RequestLost(_ANSWER_LOST))

    # --- requests to the peer ---------------------------------------------------------------------------------------

    async def ask(self, template: RequestTemplate, timeout: float | None, *, resend: bool) -> Data:
        """Have an owner send a request to the peer; returns the answer. Raises as `Client.request()`."""
        is_asked = False
        lost: RequestLost | None = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    is_asked = False
                    role = await self._membership.acquire_role()
                    self._flush(everything=True)  # the messages that were accepted before
                    is_asked = True
                    try:
                        return await self._ask(role, template, is_lasting=lost is not None)
                    except OwnerLost:  # it was not sent
                        if self._is_closed:
                            raise ClientClosed from None
                    except RequestLost as error:
                        if not resend or self._is_closed:
                            raise
                        lost = error
                    await asyncio.sleep(0)
        except OnesocketError as error:  # some are TimeoutErrors, too
            if lost is None or error is lost:
                raise
            raise earlier_fate(lost, error, timeout) from error
        except asyncio.CancelledError:
            if is_asked or lost is not None:
                raise RequestLost(ASKER_GONE) from None
            raise
        except TimeoutError:
            raise timed_out(timeout, was_sent=is_asked or lost is not None) from None

    def open_answers(
        self, template: RequestTemplate, sink: AnswerSink, *, is_lasting: bool = False
    ) -> Callable[[], None]:
        """Have an owner send a request with a stream of answers, as frames, for `sink`; returns what closes it."""
        if self._is_closed:
            raise ClientClosed
        number = next(self._request_numbers)
        stream = self._streams[number] = ForwardedAnswers(template, sink, is_lasting=is_lasting)
        role = self._membership.usable_role
        if role is not None:
            try:
                self._submit_stream(role, number, stream)
            except (IpcError, EncodeError):
                del self._streams[number]
                raise
        return functools.partial(self._close_stream, number)

    def _submit_stream(self, role: Role, number: int, stream: ForwardedAnswers) -> None:
        self._flush(everything=True)  # the messages that were accepted before
        given = stream.template
        role.submit(
            Ask(
                number,
                given.data,
                given.placeholder,
                given.is_encoded,
                is_stream=True,
                is_lasting=stream.is_lasting,
                stop=given.stop,
                stop_placeholder=given.stop_placeholder,
            )
        )
        stream.is_submitted = True

    def _close_stream(self, number: int) -> None:
        stream, role = self._streams.pop(number, None), self._membership.usable_role
        if stream is not None and stream.is_submitted and role is not None:
            role.submit(Cancellation(number))

    def _lose_streams(self) -> None:
        for number, stream in list(self._streams.items()):
            if stream.is_submitted:
                del self._streams[number]
                stream.sink.fail(RequestLost(_ANSWER_LOST))

    async def _ask(self, role: Role, template: RequestTemplate, *, is_lasting: bool) -> Data:
        number = next(self._request_numbers)
        future: asyncio.Future[Data] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            role.submit(Ask(number, template.data, template.placeholder, template.is_encoded, is_lasting=is_lasting))
            return await future
        finally:
            if self._asked.pop(number, None) is not None and role is self._membership.usable_role:
                role.submit(Cancellation(number))

    def _on_answer(self, number: int, data: Data) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            stream.sink.take(data)
            return
        future = self._asked.pop(number, None)
        if future is not None and not future.done():
            future.set_result(data)

    # --- subscriptions ----------------------------------------------------------------------------------------------

    def add_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable]) -> None:
        """Add one subscription for each key. Raises `InvalidOption`."""
        check_subscription_support(self._protocol)
        wanted = list(keys)
        try:
            for key in wanted:
                checked_key(key)
        except IpcError as error:
            raise InvalidOption(f"{error}, not {wanted!r}") from None
        self._subscribe(self.subscriptions.add_keys(subscriber, wanted), [])

    def remove_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable] | None = None) -> None:
        """Remove one subscription for each key; None: remove the subscriber with all its keys."""
        counts = self.subscriptions
        self._subscribe([], counts.drop(subscriber) if keys is None else counts.remove_keys(subscriber, keys))

    def _refuse(self, refusal: SubscriptionRefusal) -> None:
        """Tell the subscribers of refused keys, which the owner doesn't count for this process any more."""
        losers = self.subscriptions.refuse(refusal.keys)
        # Where one was subscribed to anew meanwhile, the owner counts that: the new subscriber is told as well.
        self._subscribe([], refusal.keys)
        for subscriber, keys in losers:
            subscriber.refused(SubscriptionRefused.of(keys, refusal.reason, retryable=refusal.retryable))

    def _subscribe(self, add: list[Hashable], remove: list[Hashable]) -> None:
        role = self._membership.usable_role
        if role is not None and (add or remove):
            try:
                role.submit(Subscribe(add, remove))
            except (IpcError, EncodeError) as error:
                raise InvalidOption(str(error)) from None

    # --- messages ---------------------------------------------------------------------------------------------------

    async def settle(self, entry: OutboxEntry) -> None:
        """Wait for the fate of a message. Raises the error that prevented the delivery.

        Cancelled, it withdraws the message; where it may have been sent, `DeliveryUnknown` takes the place of that.
        """
        if not entry.done:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()

            def wake(_: Delivery) -> None:
                if not future.done():
                    future.set_result(None)

            entry.on_done = wake
            try:
                await future
            except asyncio.CancelledError:
                # The entry is asked, not the future: its result may have come in this turn, after the cancellation.
                if self.outbox.withdraw(entry, CANCELLED_IN_FLIGHT, loop.time()):
                    future = loop.create_future()
                    await self._recall(entry, future)
                if entry.state is EntryState.WITHDRAWN:
                    raise
        if entry.error is not None:
            raise entry.error

    async def _recall(self, entry: OutboxEntry, future: asyncio.Future[None]) -> None:
        """Ask the owner to withdraw a cancelled sender's message, and wait for its answer, for a moment."""
        is_asked = self._submit_recall(entry.number)
        self._watch_age()
        with contextlib.suppress(asyncio.CancelledError):  # once more: it waits no longer
            if is_asked and entry.state is EntryState.RECALLED:
                await future
        if entry.state is EntryState.RECALLED:
            self.outbox.withdraw(entry, CANCELLED_IN_FLIGHT, asyncio.get_running_loop().time())
        if entry.state is EntryState.SETTLED and entry.error is None:
            entry.error = DeliveryUnknown(CANCELLED_IN_FLIGHT)  # a cancellation ends its task, one way or the other

    def _submit_recall(self, number: int) -> bool:
        role = self._membership.usable_role
        if role is not None:
            role.submit(Cancellation(number))
        return role is not None

    def post(self, message: Any, *, resend: bool) -> OutboxEntry:
        """Accept a message. Raises the error that prevents that."""
        data = encode_message(self._protocol, message)
        if isinstance(data, str) and not data.isascii():
            try:
                data.encode()
            except UnicodeError as error:
                raise EncodeError(f"this text can't be sent as UTF-8: {error.args[-1]}") from error
        state = self._status.present.state
        if state is State.STOPPED:
            raise ManuallyDisconnected
        is_up = self._membership.usable_role is not None and state is State.CONNECTED
        now = asyncio.get_running_loop().time()
        entry = self.outbox.accept(data, now, resend=resend, room=is_up)
        if self.outbox.is_idle:  # else it goes with the others of this turn: a write costs more than a message
            self._flush()
        else:
            self._flush_soon()
        if self._expiry_timer is None:
            self._watch_age()
        return entry

    def _flush_soon(self) -> None:
        if not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._on_turn_end)

    def _on_turn_end(self) -> None:
        self._is_flush_scheduled = False
        self._flush()

    def _flush(self, *, everything: bool = False) -> None:
        """Hand over the messages that an owner takes now, or everything: a request is to follow."""
        role = self._membership.usable_role
        if role is None or not self.outbox.has_waiting:
            return
        run: list[Data] = []
        first = 0
        for entry in self.outbox.hand_over(everything=everything):
            if run and entry.number != first + len(run):
                role.submit(SendMessages(first, run))
                run = []
            if not run:
                first = entry.number
            run.append(cast("Data", entry.data))
        if run:
            role.submit(SendMessages(first, run))

    def _watch_age(self) -> None:
        due, timer = self.outbox.next_due(), self._expiry_timer
        if due is None or due == float("inf") or (timer is not None and timer.when() <= due):
            return
        if timer is not None:
            timer.cancel()
        self._expiry_timer = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self._expiry_timer = None
        for number in self.outbox.expire(asyncio.get_running_loop().time()):
            self._submit_recall(number)
        self._watch_age()

    # --- roles ------------------------------------------------------------------------------------------------------

    def on_role_taken(self) -> None:
        """Submit the limits, the subscriptions and the waiting messages."""
        taken = self._membership.usable_role
        if taken is not None:
            taken.submit(OutboxBounds(self._limits.messages, self._limits.age))
        self._subscribe(list(self.subscriptions.wanted), [])
        self._flush_soon()
        role = self._membership.usable_role
        for number, stream in list(self._streams.items()):
            if role is not None and not stream.is_submitted:
                try:
                    self._submit_stream(role, number, stream)
                except (IpcError, EncodeError) as error:
                    del self._streams[number]
                    stream.sink.fail(error)

    def on_role_lost(self, *, in_order: bool) -> None:
        """Keep or settle the operations that the last owner had; `in_order`: it did not perform them."""
        self._fail_requests(in_order=in_order)
        self._lose_streams()
        self.outbox.owner_gone(in_order=in_order)

    def on_event(self, event: Answer | Results | SubscriptionRefusal) -> None:
        """Record what the owner reports about operations."""
        match event:
            case Answer(number, data):
                self._on_answer(number, data)
            case Results(results, sent):
                self._on_results(results, sent)
            case SubscriptionRefusal():
                self._refuse(event)

    def _on_results(self, results: list[Result], sent: list[tuple[int, int]]) -> None:
        for first, last in sent:
            self.outbox.settle_sent(first, last)
        for number, outcome, error in results:
            if number < FIRST_REQUEST_NUMBER:
                self.outbox.settle(number, error)
                continue
            stream = self._streams.pop(number, None)
            if stream is not None:
                stream.sink.end() if error is None else stream.sink.fail(error)
                continue
            future: asyncio.Future[Any] | None = self._requests.pop(number, None) or self._asked.pop(number, None)
            if future is not None and not future.done():
                if error is None:
                    future.set_result(outcome)
                else:
                    future.set_exception(error)
        if self.outbox.has_waiting:  # there is room for more, or some are sent again
            self._flush_soon()
        if self._drained is not None and not len(self.outbox) and not self._drained.done():
            self._drained.set_result(None)

    # --- closing ----------------------------------------------------------------------------------------------------

    def begin_close(self) -> None:
        """Submit the waiting messages now; a request that loses its owner from now on is not repeated."""
        self._is_closed = True
        self._flush()

    async def drain(self, timeout: float) -> None:
        """Wait until a connection that is up has sent all messages."""
        if len(self.outbox) and self._status.present.state is State.CONNECTED:
            self._drained = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._drained], timeout=timeout)

    def close(self, *, was_owner: bool) -> None:
        """Settle all operations. `was_owner`: this process had the connection, and has closed it in order."""
        self._fail_requests(in_order=was_owner)
        self._lose_streams()
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
        if was_owner:
            self.outbox.owner_gone(in_order=True)
        self.outbox.reject(ClientClosed())
