"""Operations of this host's processes that are for the leader, another host: their numbers and fates. No I/O.

An operation that was submitted to a leader has its fate from there. If the leader's epoch ends in order, those without
a result were not performed, and are for the next leader; else a message is `DeliveryUnknown`, and a request
`RequestLost`: whose sender said `resend=True` sends it again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Final

import msgspec

from ...client._subscription_counts import SubscriptionCounts
from ...errors import (
    DeliveryUnknown,
    MessageExpired,
    OnesocketError,
    OutboxFull,
    RequestLost,
    SlowConsumer,
    SubscriptionRefused,
)
from ...lifecycle._outbox import OutboxLimits
from ...wire._handshake import Data
from ..host._ipc_frames import (
    FIRST_REQUEST_NUMBER,
    MAX_WAITING,
    Answer,
    Ask,
    Cancellation,
    OutboxBounds,
    Request,
    Results,
    SendMessages,
    Subscribe,
    SubscriptionRefusal,
    ToOwner,
    Verb,
)
from ..host._requesters import SubscribingRequester

_WITHDRAWN: Final = "this message was withdrawn before it was sent"
_LEADER_ENDED: Final = (
    "the host that held the connection ended while this message was on its way: it may or may not have arrived; "
    "send it again only if that does no harm, or send it with resend=True when that is so"
)
_ANSWER_LOST: Final = (
    "the host that held the connection is gone: the request may or may not have been carried out; ask again only if "
    "that does no harm, or with resend=True when that is so"
)
_FRAME_BYTES: Final = 2**17
"""Bytes of messages in one frame to the leader, about."""
_NO_OUTBOX: Final = "the connection was lost, and without an outbox no message waits"


class _Operation:
    """A message, a request to the peer, or one about the connection, of one of this host's processes."""

    __slots__ = ("content", "number", "requester", "up")

    def __init__(self, requester: SubscribingRequester, number: int, content: Data | Ask | Request) -> None:
        self.requester = requester
        self.number = number
        """The requester's number."""
        self.content = content
        self.up = 0
        """Number that the leader knows; 0: it was not submitted."""

    @property
    def is_message(self) -> bool:
        return isinstance(self.content, str | bytes)


class Relay:
    """Keeps the operations of all processes of this host until they have a result, in their order."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[SubscribingRequester, int], _Operation] = {}
        """Not submitted."""
        self._submitted: dict[int, _Operation] = {}
        """By the number that the leader knows."""
        self._numbers: dict[tuple[SubscribingRequester, int], int] = {}
        """The numbers that the leader knows, by requester and the requester's number."""
        self._control: list[ToOwner] = []
        """Cancellations and subscriptions that are to be submitted; they go first."""
        self._newest: list[_Operation] = []
        """The operations that the last submission takes to the leader."""
        self._limits: dict[SubscribingRequester, OutboxLimits] = {}
        self._counts: Counter[SubscribingRequester] = Counter()
        """Messages of each process that wait."""
        self.subscriptions: SubscriptionCounts[SubscribingRequester] = SubscriptionCounts()
        self.is_subscribed = False
        """True if the leader of this epoch has subscriptions of this host, or had them to its last introduction."""
        self._settled: asyncio.Future[None] | None = None
        self._next_message = 1
        self._next_request = FIRST_REQUEST_NUMBER

    def __repr__(self) -> str:
        return f"<Relay waiting={len(self._waiting)} submitted={len(self._submitted)}>"

    @property
    def has_submitted(self) -> bool:
        """True if the leader has operations without a result."""
        return bool(self._submitted)

    def settled(self) -> asyncio.Future[None]:
        """Done once no operation is submitted, and without a result."""
        settled = self._settled = asyncio.get_running_loop().create_future()
        self._check_settled()
        return settled

    def _check_settled(self) -> None:
        if self._settled is not None and not self._submitted and not self._settled.done():
            self._settled.set_result(None)

    @property
    def has_operations(self) -> bool:
        """True if there is a message or a request that no leader has."""
        return bool(self._waiting)

    @property
    def has_frames(self) -> bool:
        """True if there is something to submit."""
        return bool(self._control or self._waiting)

    # --- from the processes of this host ------------------------------------------------------------------------------

    def perform(self, requester: SubscribingRequester, frame: ToOwner, *, is_up: bool) -> None:
        """Accept a frame of a process. `is_up`: the connection is, so messages don't wait for long."""
        match frame:
            case SendMessages(first, messages):
                for number, data in enumerate(messages, first):
                    self._accept(requester, number, data, is_up=is_up)
            case Ask(number) | Request(number):
                self._waiting[requester, number] = _Operation(requester, number, frame)
            case Cancellation(number):
                self._cancel(requester, number)
            case OutboxBounds(messages, age):
                self._limits[requester] = OutboxLimits(messages, age)
                self._control.append(self.bounds())
            case Subscribe(add, remove):
                self._subscribe(self.subscriptions.add_keys(requester, add), [])
                self._subscribe([], self.subscriptions.remove_keys(requester, remove))
            case _:
                pass

    def forget(self, requester: SubscribingRequester) -> None:
        """Drop all operations of a process that is gone: those that were not submitted are not performed."""
        for key in [key for key in self._waiting if key[0] is requester]:
            del self._waiting[key]
        for key in [key for key in self._numbers if key[0] is requester]:
            up = self._numbers.pop(key)
            del self._submitted[up]
            self._control.append(Cancellation(up))
        self._counts.pop(requester, None)
        self._limits.pop(requester, None)
        self._subscribe([], self.subscriptions.drop(requester))

    def _accept(self, requester: SubscribingRequester, number: int, data: Data, *, is_up: bool) -> None:
        limits = self._limits.get(requester)
        most = MAX_WAITING if limits is None or is_up else min(limits.messages, MAX_WAITING)
        if self._counts[requester] >= most:
            requester.add_result(
                number, None, OutboxFull(f"{most} messages wait for the connection, which is the limit")
            )
            return
        self._counts[requester] += 1
        self._waiting[requester, number] = _Operation(requester, number, data)

    def _cancel(self, requester: SubscribingRequester, number: int) -> None:
        waiting = self._waiting.pop((requester, number), None)
        if waiting is not None:
            if waiting.is_message:
                self._counts[requester] -= 1
                requester.add_result(number, None, MessageExpired(_WITHDRAWN))
            else:
                requester.release_slot()
            return
        up = self._numbers.get((requester, number))
        if up is None:
            return
        self._control.append(Cancellation(up))
        if up >= FIRST_REQUEST_NUMBER:  # no result follows
            del self._numbers[requester, number]
            del self._submitted[up]
            requester.release_slot()

    def _subscribe(self, add: list[Hashable], remove: list[Hashable]) -> None:
        if add or remove:
            self._control.append(Subscribe(add, remove))

    def bounds(self) -> OutboxBounds:
        """The limits for all processes together; each keeps its own, too."""
        most = max((each.messages for each in self._limits.values()), default=MAX_WAITING)
        age = max((each.age for each in self._limits.values()), default=OutboxLimits().age)
        return OutboxBounds(most, age)

    # --- to the leader ------------------------------------------------------------------------------------------------

    def begin_epoch(self) -> None:
        """Submit limits and subscriptions before all else, to a new leader or to one that does not know this host."""
        self._control = [self.bounds()]
        self._subscribe(list(self.subscriptions.wanted), [])

    def take_frames(self, most: int = _FRAME_BYTES) -> list[ToOwner]:
        """Take frames that are to be submitted together, of about `most` bytes; their operations count as submitted."""
        frames, self._control = self._control, []
        if frames:  # with all changes so far
            self.is_subscribed = bool(self.subscriptions)
        self._newest = []
        run: list[Data] = []
        size = 0
        for key, operation in list(self._waiting.items()):
            if size >= most:
                break
            del self._waiting[key]
            self._newest.append(operation)
            content = operation.content
            if isinstance(content, str | bytes):
                operation.up, self._next_message = self._next_message, self._next_message + 1
                self._counts[operation.requester] -= 1
                if not run:
                    frames.append(SendMessages(operation.up, run))
                run.append(content)
                size += len(content)
            else:
                operation.up, self._next_request = self._next_request, self._next_request + 1
                frames.append(msgspec.structs.replace(content, number=operation.up))
                run = []
                size += 1
            self._submitted[operation.up] = operation
            self._numbers[key] = operation.up
        return frames

    def put_back(self) -> None:
        """Note that the newest frames were refused, and not submitted: their operations are for the next leader."""
        back: dict[tuple[SubscribingRequester, int], _Operation] = {}
        for operation in self._newest:
            if self._pop(operation.up) is operation:
                back[operation.requester, operation.number] = operation
                self._counts[operation.requester] += operation.is_message
        self._waiting = {**back, **self._waiting}

    # --- from the leader ----------------------------------------------------------------------------------------------

    def on_results(self, frame: Results) -> None:
        """Report results to the processes."""
        for first, last in frame.sent:
            for number in range(first, last + 1):
                self._settle(number)
        for number, outcome, error in frame.results:
            operation = self._pop(number)
            if operation is not None:
                operation.requester.add_result(operation.number, outcome, error)
        self._check_settled()

    def on_answer(self, frame: Answer) -> None:
        """Report an answer of the peer to the process that asked."""
        operation = self._submitted.get(frame.number)
        if operation is None or operation.requester.add_answer(operation.number, frame.data):
            return
        self._pop(frame.number)
        self._control.append(Cancellation(frame.number))
        error = SlowConsumer("this process doesn't read what the one that is its host's member sends it")
        operation.requester.add_result(operation.number, None, error)

    def on_refusal(self, frame: SubscriptionRefusal) -> None:
        """Tell the processes of refused keys, which the leader doesn't count for this host any more."""
        losers = self.subscriptions.refuse(frame.keys)
        self._subscribe([], list(frame.keys))
        for requester, keys in losers:
            requester.refused(SubscriptionRefused.of(keys, frame.reason, retryable=frame.retryable))

    def leader_gone(self, *, in_order: bool) -> None:
        """Decide about what a leader had without a result: it is for the next one, or its fate is unknown."""
        submitted, self._submitted = self._submitted, {}
        self._numbers.clear()
        self._control.clear()
        back: dict[tuple[SubscribingRequester, int], _Operation] = {}
        for operation in submitted.values():
            # connect(), disconnect() and their like can be performed twice
            if in_order or isinstance(operation.content, Request):
                operation.up = 0
                back[operation.requester, operation.number] = operation
                self._counts[operation.requester] += operation.is_message
            else:
                unknown = DeliveryUnknown(_LEADER_ENDED) if operation.is_message else RequestLost(_ANSWER_LOST)
                operation.requester.add_result(operation.number, None, unknown)
        self._waiting = {**back, **self._waiting}

    def on_lost(self) -> None:
        """Refuse the waiting messages of processes without an outbox: the connection was lost."""
        for key, operation in list(self._waiting.items()):
            limits = self._limits.get(operation.requester)
            if operation.is_message and limits is not None and not limits.messages:
                self._drop(key, OutboxFull(_NO_OUTBOX))

    def refuse(self, error: OnesocketError, *, verbs: frozenset[Verb] | None = None) -> None:
        """Fail what waits: the requests with these verbs, or (None) everything."""
        for key, operation in list(self._waiting.items()):
            content = operation.content
            if verbs is None or (isinstance(content, Request) and content.verb in verbs):
                self._drop(key, error.copy())

    def take_all(self) -> Iterator[tuple[SubscribingRequester, ToOwner]]:
        """Take everything that waits, with limits and subscriptions: this host leads from now on."""
        for requester, limits in self._limits.items():
            yield requester, OutboxBounds(limits.messages, limits.age)
        for requester, keys in self.subscriptions.by_subscriber():
            yield requester, Subscribe(keys, [])
        waiting, self._waiting = self._waiting, {}
        self._counts.clear()
        for operation in waiting.values():
            content = operation.content
            if isinstance(content, str | bytes):
                yield operation.requester, SendMessages(operation.number, [content])
            else:
                yield operation.requester, content

    def _drop(self, key: tuple[SubscribingRequester, int], error: OnesocketError) -> None:
        operation = self._waiting.pop(key)
        self._counts[operation.requester] -= operation.is_message
        operation.requester.add_result(operation.number, None, error)

    def _settle(self, number: int) -> None:
        operation = self._pop(number)
        if operation is not None:
            operation.requester.add_result(operation.number, None, None)

    def _pop(self, number: int) -> _Operation | None:
        operation = self._submitted.pop(number, None)
        if operation is not None:
            self._numbers.pop((operation.requester, operation.number), None)
        return operation
