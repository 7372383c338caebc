"""Requests of this process, for whichever process owns the connection: to the owner, and to the peer."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable
from typing import Any, Final

from ...client._request_calls import ASKER_GONE, AnswerSink, earlier_fate, timed_out
from ...errors import (
    ClientClosed,
    EncodeError,
    IpcError,
    OnesocketError,
    OpenTimeout,
    OwnerLost,
    RequestLost,
)
from ...lifecycle._effects import Outcome
from ...protocols._request_template import RequestTemplate
from ...wire._handshake import Data
from ._follower import Follower
from ._ipc_frames import FIRST_REQUEST_NUMBER, Ask, Cancellation, Request, Verb
from ._membership import Membership
from ._membership_events import Role

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


class ProcessRequests:
    """Submits requests to the present role, and again to the next one where the last owner had not performed them."""

    def __init__(self, membership: Membership, flush: Callable[[], object]) -> None:
        """`flush`: hands the messages that were accepted before a request over to the role."""
        self._membership = membership
        self._flush = flush
        self._numbers = itertools.count(FIRST_REQUEST_NUMBER)
        self._requests: dict[int, asyncio.Future[Outcome | None]] = {}
        self._asked: dict[int, asyncio.Future[Data]] = {}
        """Requests to the peer that have no answer yet."""
        self._streams: dict[int, ForwardedAnswers] = {}
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<ProcessRequests {len(self._requests)} asked={len(self._asked)} streams={len(self._streams)}>"

    # --- to the owner -----------------------------------------------------------------------------------------------

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
        number = next(self._numbers)
        future: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._requests[number] = future
        role.submit(Request(number, verb))
        try:
            return await future
        except asyncio.CancelledError:
            if self._requests.pop(number, None) is not None:
                role.submit(Cancellation(number))
            raise

    # --- to the peer ------------------------------------------------------------------------------------------------

    async def ask(self, template: RequestTemplate, timeout: float | None, *, resend: bool) -> Data:
        """Have an owner send a request to the peer; returns the answer. Raises as `Client.request()`."""
        is_asked = False
        lost: RequestLost | None = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    is_asked = False
                    role = await self._membership.acquire_role()
                    self._flush()  # the messages that were accepted before
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
        number = next(self._numbers)
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
        self._flush()  # the messages that were accepted before
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

    async def _ask(self, role: Role, template: RequestTemplate, *, is_lasting: bool) -> Data:
        number = next(self._numbers)
        future: asyncio.Future[Data] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            role.submit(Ask(number, template.data, template.placeholder, template.is_encoded, is_lasting=is_lasting))
            return await future
        finally:
            if self._asked.pop(number, None) is not None and role is self._membership.usable_role:
                role.submit(Cancellation(number))

    # --- from the role ----------------------------------------------------------------------------------------------

    def on_role_taken(self) -> None:
        """Submit the requests for streams of answers that no owner has."""
        role = self._membership.usable_role
        for number, stream in list(self._streams.items()):
            if role is not None and not stream.is_submitted:
                try:
                    self._submit_stream(role, number, stream)
                except (IpcError, EncodeError) as error:
                    del self._streams[number]
                    stream.sink.fail(error)

    def on_role_lost(self, *, in_order: bool) -> None:
        """Fail the requests that the last owner had; `in_order`: it did not perform them."""
        requests, self._requests = self._requests, {}
        asked, self._asked = self._asked, {}
        lost = OwnerLost("this process, or the one that held the connection, let go of it")
        for request in requests.values():
            if not request.done():
                request.set_exception(lost)
        for answer in asked.values():
            if not answer.done():
                answer.set_exception(lost.copy() if in_order else RequestLost(_ANSWER_LOST))
        for number, stream in list(self._streams.items()):
            if stream.is_submitted:
                del self._streams[number]
                stream.sink.fail(RequestLost(_ANSWER_LOST))

    def on_answer(self, number: int, data: Data) -> None:
        """Hand an answer of the peer to the one who asked."""
        stream = self._streams.get(number)
        if stream is not None:
            stream.sink.take(data)
            return
        future = self._asked.pop(number, None)
        if future is not None and not future.done():
            future.set_result(data)

    def on_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        """Settle a request."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.sink.end() if error is None else stream.sink.fail(error)
            return
        future: asyncio.Future[Any] | None = self._requests.pop(number, None) or self._asked.pop(number, None)
        if future is not None and not future.done():
            if error is None:
                future.set_result(outcome)
            else:
                future.set_exception(error)

    def begin_close(self) -> None:
        """Repeat no request that loses its owner from now on."""
        self._is_closed = True
