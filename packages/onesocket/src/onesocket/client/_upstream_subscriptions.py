"""The subscriptions of one connection, kept equal to the keys that are wanted."""

from __future__ import annotations

import asyncio
import copy
import functools
import itertools
import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, Protocol

from ..errors import DecodeError, SubscriptionRefused
from ..protocols._pace import SendWindow
from ..protocols._protocol import Protocol as WireProtocol
from ..protocols._protocol import as_is
from ..protocols._request_table import NumberedFrame
from ..protocols._subscriptions import (
    SubscriptionAnswer,
    Subscriptions,
    answers_of,
    frames_of,
    messages_of,
    subscriptions_of,
)
from ..wire._handshake import Data
from ._frame_source import FrameSource
from ._key_frames import SubscribeFrame, UnsubscribeFrame
from ._key_options import check_keys, check_subscription_support, select_keys
from ._key_table import KeySelection
from ._request_calls import requests_of
from ._request_tracker import RequestTracker
from ._sender import Sender
from ._snapshot_keeper import SnapshotKeeper
from ._subscription import Subscription as Stream
from ._subscription_counts import SubscriptionCounts

_log = logging.getLogger("onesocket")
_NONE: Final = Subscriptions(subscribe=tuple, unsubscribe=tuple)
"""Stands for the declaration of a protocol without one, to which no key is added."""


class KeySubscriber(Protocol):
    """A reader of keys."""

    def refused(self, error: SubscriptionRefused) -> object:
        """Take the refusal of keys, for which it is no subscriber any more. It doesn't raise."""


class KeyRequest:
    """Messages about keys, and the answers to them that are missing."""

    __slots__ = ("frames", "has_parts", "keys", "missing_answers", "numbered", "refusal", "unanswered")

    def __init__(self, keys: list[Hashable], frames: Sequence[Data | NumberedFrame]) -> None:
        self.keys = keys
        self.frames = deque(frames)
        """The messages that are not sent yet."""
        self.has_parts = len(frames) > 1
        self.missing_answers = len(frames)
        """Number of answers without keys that are missing."""
        self.unanswered = set(keys)
        self.numbered = [frame for frame in frames if not isinstance(frame, str | bytes)]
        """Messages that are requests with an id, sent or not."""
        self.refusal: str | None = None
        """The reason of the newest answer that refused it."""

    def __repr__(self) -> str:
        return f"<KeyRequest keys={len(self.keys)} unsent={len(self.frames)} unanswered={len(self.unanswered)}>"


class UpstreamSubscriptions:
    """A `FrameSource`: frames are made when the connection has room for them, of the keys that are wanted by then.

    They belong to the connection they were made for. A new one begins with nothing, and gets all that is wanted. Keys
    are counted over their subscribers. A refused key isn't wanted any more: its subscribers are told, and it is asked
    for again with the next one that comes.
    """

    def __init__(
        self,
        protocol: WireProtocol,
        sender: Sender,
        watch: Callable[[Callable[[list[Any]], None]], object],
        decode: Callable[[Any], Any] = as_is,
        keeper: SnapshotKeeper | None = None,
        *,
        requests: RequestTracker | None = None,
    ) -> None:
        """`watch`: has a function called with the messages of each read; `decode`: makes messages of what comes.

        `keeper`: forgets keys that have no subscriber any more. `requests`: those of the connection, for their ids.
        """
        self._protocol = protocol
        self._sender = sender
        self._decode = decode
        self._keeper = keeper
        self._declared = subscriptions_of(protocol) or _NONE
        self._requests = requests if self._declared.requests else None
        self._batch = self._declared.batch if self._declared.unsubscribe is not None else 1
        self._counts: SubscriptionCounts[KeySubscriber] = SubscriptionCounts()
        self._held: dict[Hashable, KeyRequest] = {}
        """The keys that the connection has, with the requests that brought them."""
        self._missing: dict[Hashable, None] = {}
        """Wanted keys that the connection hasn't, in order."""
        self._unwanted: dict[Hashable, None] = {}
        """Keys of `_held` that are not wanted any more, in order."""
        self._groups: list[list[Hashable]] = []
        """Parts of refused requests: they are asked for one after the other, to find the key that was refused."""
        self._undone: deque[list[Hashable]] = deque()
        """Keys of refused requests of which a part may have been accepted."""
        self._present: tuple[KeyRequest, bool] | None = None
        """The request that is being sent, and whether it subscribes."""
        self._is_begun = False
        """True once one of its frames is sent: the others follow."""
        self._pending: deque[KeyRequest] = deque()
        """Requests without an answer, in order. Empty unless answers are declared."""
        self._has_logged = False
        self._window = None if self._declared.pace is None else SendWindow.of(self._declared.pace)
        self._turn: asyncio.TimerHandle | None = None
        self._on_settled: Callable[[], None] | None = None
        self._is_gone = False
        """True between the end of a connection and the beginning of the next."""
        self._hears = True
        """False while messages of an earlier connection come."""
        sender.set_source(self)
        if self._declared.ack is not None:
            watch(self.received)

    def __repr__(self) -> str:
        missing, unwanted = len(self._missing), len(self._unwanted)
        return f"<UpstreamSubscriptions keys={len(self._held)} missing={missing} unwanted={unwanted}>"

    # --- subscribers --------------------------------------------------------------------------------------------------

    def add_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable]) -> None:
        """Count one subscription more for each key; those beyond the limit are refused. Raises `InvalidOption`."""
        check_subscription_support(self._protocol)
        fitting, refused = self._within_limit(list(keys))
        new = self._counts.add_keys(subscriber, fitting)
        if self._keeper is not None:
            self._keeper.expect(new)
        for key in new:
            if key in self._unwanted:
                del self._unwanted[key]
            else:
                self._missing[key] = None
        self._changed()
        if refused:
            limit = self._declared.limit
            subscriber.refused(
                SubscriptionRefused.of(refused, f"a connection has at most {limit} keys", retryable=True)
            )

    def has_keys_of(self, subscriber: KeySubscriber) -> bool:
        """True if a subscriber has a key."""
        return self._counts.has_keys_of(subscriber)

    def select(self, keys: object) -> KeySelection | None:
        """The selection for the keys of ``subscribe(keys=…)``; None: there are none. Raises `InvalidOption`."""
        return select_keys(self._protocol, keys)

    def add_stream(self, stream: Stream[Any], keys: Iterable[Hashable], on_loop: Callable[..., object]) -> None:
        """Subscribe for a stream, until it ends: `on_loop` then calls a function on the client's loop."""
        queue = stream.queue
        try:
            self.add_keys(queue, keys)
        except BaseException:
            stream.close()
            raise
        stream.on_end = lambda: on_loop(self.remove_keys, queue)

    def _within_limit(self, keys: list[Hashable]) -> tuple[list[Hashable], list[Hashable]]:
        """The keys for which the connection has room, and the others."""
        limit = self._declared.limit
        if limit is None:
            return keys, []
        new = dict.fromkeys(key for key in keys if key not in self._counts)
        refused = set(itertools.islice(new, max(0, limit - len(self._counts)), None))
        return [key for key in keys if key not in refused], [key for key in new if key in refused]

    def remove_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable] | None = None) -> None:
        """Count one subscription less for each key; None: remove the subscriber with all its keys."""
        counts = self._counts
        gone = counts.drop(subscriber) if keys is None else counts.remove_keys(subscriber, keys)
        if self._keeper is not None:
            self._keeper.forget(gone)
        for key in gone:
            if key in self._missing:
                del self._missing[key]
            else:
                self._unwanted[key] = None
        self._changed()

    def holds(self, key: Hashable) -> bool:
        """True if the connection is subscribed to the key, or will be by a message that is sent."""
        return key in self._held

    def is_subscribed(self, key: Hashable) -> bool:
        """True if a message that subscribes to the key is sent, and answered where answers are declared."""
        request = self._held.get(key)
        return request is not None and not (key in request.unanswered and request in self._pending)

    def _changed(self) -> None:
        if not self._is_begun:
            self._present = None  # keys that came and went while it waited cost nothing
        self._sender.ask_source()

    # --- the connection -----------------------------------------------------------------------------------------------

    def fork(self) -> UpstreamSubscriptions:
        """Return the subscriptions of a second connection, which has none yet, for the same subscribers."""
        twin = copy.copy(self)
        kept = ("_held", "_missing", "_unwanted", "_groups", "_undone", "_pending")
        window = None if self._declared.pace is None else SendWindow.of(self._declared.pace)
        empty = {name: type(getattr(self, name))() for name in kept}
        vars(twin).update(empty, _window=window, _turn=None, _on_settled=None)
        twin.begin()
        return twin

    def adopt(self, fork: FrameSource) -> None:
        """Go on on the connection of this fork, which took the place of the present one."""
        if isinstance(fork, UpstreamSubscriptions):
            self.end()
            fork.end()
            fork.refresh()
            vars(self).update(vars(fork), _on_settled=self._on_settled, _is_gone=False)
            for request in self._pending:
                self._await_answers(request)

    def refresh(self) -> None:
        """Look again for the keys that are wanted: another connection's subscriptions count them, too."""
        self._missing = dict.fromkeys(key for key in self._counts if key not in self._held)
        self._unwanted = dict.fromkeys(key for key in self._held if key not in self._counts)
        if not self._is_begun:
            self._present = None

    @property
    def turn_in(self) -> float:
        """Seconds until the turn of a frame that has to wait for it; 0: none has to."""
        return 0.0 if self._turn is None else max(0.0, self._turn.when() - asyncio.get_running_loop().time())

    def begin(self) -> None:
        """Forget all subscriptions: a new connection has none."""
        self.end()
        for collection in (self._held, self._unwanted, self._groups, self._undone, self._pending):
            collection.clear()
        self._missing = dict.fromkeys(self._counts)
        self._present, self._is_begun = None, False
        if self._window is not None:
            self._window.begin()
        self._is_gone = False
        self._check_settled()

    def end(self) -> None:
        """Wait for no turn any more: the connection is gone."""
        self._is_gone = True
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def peek(self) -> Data | None:
        """The next frame; None when the connection has what is wanted, or the frame has to wait for its turn."""
        while self._present is None or not self._present[0].frames:
            self._present, self._is_begun = self._next_request(), False
            if self._present is None:
                return None
            request, subscribes = self._present
            if not request.frames:  # the service wants no message for these keys
                self._begun(request, subscribes=subscribes)
        if self._must_wait():
            return None
        frame = self._present[0].frames[0]
        return frame if isinstance(frame, str | bytes) else frame.make_frame()

    def taken(self) -> None:
        """Note that the frame is sent."""
        if self._present is None:
            return
        request, subscribes = self._present
        frame = request.frames.popleft()
        if not isinstance(frame, str | bytes):
            frame.on_sent()
        if self._window is not None:
            self._window.record(asyncio.get_running_loop().time())
        if not self._is_begun:
            self._is_begun = True
            self._begun(request, subscribes=subscribes)
        self._check_settled()

    def _must_wait(self) -> bool:
        if self._window is None:
            return False
        loop = asyncio.get_running_loop()
        wait = self._window.wait(loop.time())
        if wait > 0 and self._turn is None:
            self._turn = loop.call_later(wait, self._turn_came)
        return wait > 0

    def _turn_came(self) -> None:
        self._turn = None
        self._sender.ask_source()

    def when_settled(self, call: Callable[[], None]) -> None:
        """Call it, instead of an earlier one, when the connection has the keys that are wanted, or at once if it has.

        Their messages are sent then, and answered where answers are declared.
        """
        self._on_settled = call
        self._check_settled()

    def _check_settled(self) -> None:
        call = self._on_settled
        if call is not None and not self._is_gone and not self._has_changes:
            self._on_settled = None
            call()

    @property
    def _has_changes(self) -> bool:
        is_sending = self._present is not None and len(self._present[0].frames) > 0
        return is_sending or any((self._missing, self._unwanted, self._undone, self._pending))

    # --- requests -----------------------------------------------------------------------------------------------------

    def _next_request(self) -> tuple[KeyRequest, bool] | None:
        """The next request, and whether it subscribes; None: the connection has what is wanted."""
        # What is left first: the peer may have a limit.
        while self._undone or self._unwanted:
            keys = self._undone[0] if self._undone else _first(self._unwanted, self._batch)
            request = self._make_request(self._declared.unsubscribe or self._stops, keys, UnsubscribeFrame)
            if request is not None:
                return request, False
            self._forget(keys)
            if len(keys) > 1:  # the others shall not be kept with one that can't be expressed
                self._undone.extendleft(reversed(_halves(keys)))
        while self._missing:
            keys = self._next_missing()
            request = self._make_request(self._declared.subscribe, keys, SubscribeFrame)
            if request is not None:
                return request, True
            if len(keys) == 1:
                self._refuse(keys, "the protocol can't make a message that subscribes to it")
                self._check_settled()
            elif self._groups:
                self._groups[:1] = _halves(keys)
            else:
                self._groups = _halves(keys)
        return None

    def _next_missing(self) -> list[Hashable]:
        while self._groups:
            group = self._groups[0]
            group[:] = [key for key in group if key in self._missing]
            if group:
                return group
            del self._groups[0]
        return _first(self._missing, self._batch)

    def _make_request(
        self, make: Callable[[list[Hashable]], Any], keys: list[Hashable], kind: type[SubscribeFrame | UnsubscribeFrame]
    ) -> KeyRequest | None:
        """The request for these keys; None if the protocol can't make it, which is reported of a single key."""
        tracker = self._requests
        try:
            made = make(list(keys))
            if tracker is None:
                return KeyRequest(keys, frames_of(self._protocol, made))
            return KeyRequest(keys, [kind(self._protocol, message, tracker) for message in messages_of(made)])
        except Exception as error:  # noqa: BLE001 - the protocol's, or a key that it can't express
            if len(keys) == 1:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "onesocket: the protocol can't express a key", "exception": error}
                )
            return None

    def _stops(self, keys: list[Hashable]) -> tuple[Any, ...]:
        """The messages that end what the messages have begun that subscribed to these keys."""
        frames = [frame for key in keys for frame in self._held[key].numbered if isinstance(frame, SubscribeFrame)]
        return tuple(stop for stop in (frame.stop_message() for frame in frames) if stop is not None)

    def _begun(self, request: KeyRequest, *, subscribes: bool) -> None:
        """Take the keys of a request whose first frame is sent for those of the connection, or not any more."""
        if not subscribes:
            self._forget(request.keys)
            return
        if self._groups and self._groups[0] is request.keys:
            del self._groups[0]
        for key in request.keys:
            self._missing.pop(key, None)
            self._held[key] = request
        if (self._declared.ack is not None or self._requests is not None) and request.missing_answers:
            self._await_answers(request)
            self._pending.append(request)

    def _forget(self, keys: list[Hashable]) -> None:
        """Forget keys that the connection is not subscribed to any more."""
        if self._undone and self._undone[0] is keys:
            self._undone.popleft()
            return
        for key in keys:
            self._held.pop(key, None)
            self._unwanted.pop(key, None)

    # --- answers ------------------------------------------------------------------------------------------------------

    def received(self, batch: list[Any]) -> None:
        """Look for answers in the messages of one read."""
        ack = self._declared.ack
        for message in batch:
            if not (self._pending and self._hears) or ack is None:
                return
            try:
                for answer in answers_of(ack(self._decode(message))):
                    self._answered(answer)
            except DecodeError:
                pass  # it is counted and reported where it is read
            except Exception:  # noqa: BLE001 - the program's own function may raise anything
                if not self._has_logged:
                    self._has_logged = True
                    _log.exception("ack= of subscriptions failed on a message, which is taken for no answer")

    def hear_answers(self, hears: bool) -> None:  # noqa: FBT001 - an event
        """Take messages for answers to its frames, or not."""
        self._hears = hears

    def _await_answers(self, request: KeyRequest) -> None:
        for frame in request.numbered:
            if isinstance(frame, SubscribeFrame):
                frame.on_answer = functools.partial(self._answered_by_id, request)

    def _answered_by_id(self, request: KeyRequest, answer: Any) -> None:
        if request not in self._pending:
            return
        refused = requests_of(self._protocol).refused
        why: object = None
        try:
            why = None if refused is None else refused(self._decode(answer))
        except Exception:  # noqa: BLE001 - the program's own function may raise anything
            _log.exception("refused= of Requests failed on the answer to a subscription, which is taken for accepted")
        self._take_verdict(request, None if why is None else str(why))
        self._check_settled()

    def _answered(self, answer: SubscriptionAnswer) -> None:
        self._take_answer(answer)
        self._check_settled()

    def _take_answer(self, answer: SubscriptionAnswer) -> None:
        if answer.keys is not None:
            self._answered_by_name(check_keys(answer.keys), answer.refused)
        elif self._pending:
            self._take_verdict(self._pending[0], answer.refused)

    def _take_verdict(self, request: KeyRequest, refusal: str | None) -> None:
        """Note the answer to one of the messages of a request."""
        request.missing_answers -= 1
        if refusal is not None:
            request.refusal = refusal
        if request.missing_answers == 0:
            self._pending.remove(request)
            if request.refusal is not None:
                self._refused_as_a_whole(request, request.refusal)

    def _answered_by_name(self, keys: Iterable[Hashable], refusal: str | None) -> None:
        refused: list[Hashable] = []
        for key in keys:
            request = next((each for each in self._pending if key in each.unanswered), None)
            if request is None:
                continue
            request.unanswered.discard(key)
            if not request.unanswered:
                self._pending.remove(request)
            if self._held.get(key) is request:  # else it was asked for again, and another answer follows
                refused.append(key)
        if refusal is not None and refused:
            self._refuse(refused, refusal)

    def _refused_as_a_whole(self, request: KeyRequest, reason: str) -> None:
        """Refuse the key of a request, or ask for several in parts: most may be refused for the sake of one."""
        keys = [key for key in request.keys if key in request.unanswered and self._held.get(key) is request]
        if request.has_parts and keys:  # some of its messages may have been accepted
            self._undone.append(list(keys))
        if len(request.keys) == 1:
            self._refuse(keys, reason)
            return
        wanted = [key for key in keys if key in self._counts]
        for key in keys:
            self._held.pop(key)
            self._unwanted.pop(key, None)
        self._missing.update(dict.fromkeys(wanted))
        self._groups += _halves(wanted)
        self._changed()

    def _refuse(self, keys: list[Hashable], reason: str) -> None:
        """Want these keys no more, and tell their subscribers why."""
        for key in keys:
            for collection in (self._held, self._unwanted, self._missing):
                collection.pop(key, None)
        losers = self._counts.refuse(keys)
        if self._keeper is not None:
            self._keeper.forget(keys)
        self._changed()
        for subscriber, lost in losers:
            subscriber.refused(SubscriptionRefused.of(lost, reason))


def _first(keys: Iterable[Hashable], batch: int | None) -> list[Hashable]:
    return list(itertools.islice(keys, batch))


def _halves(keys: list[Hashable]) -> list[list[Hashable]]:
    middle = (len(keys) + 1) // 2
    return [half for half in (keys[:middle], keys[middle:]) if half]
