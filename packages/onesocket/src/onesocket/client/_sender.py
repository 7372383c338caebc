"""Sends messages: straight to the socket while it accepts all, through the outbox while it does not."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, Final

from ..errors import DeliveryUnknown, EncodeError, OnesocketError, OutboxFull
from ..lifecycle._outbox import Outbox, OutboxLimits
from ..protocols._rate_limiter import RateLimiter
from ..transports._transport import TransportConnection
from ..wire._handshake import Data
from ._delivery import DELIVERED, Delivery, LateFrame
from ._frame_source import FrameSource, Replay
from ._in_flight import InFlight
from ._message_feed import MessageFeed
from ._outbox_expiry import OutboxExpiry
from ._user_code import USER_ERRORS

if TYPE_CHECKING:
    from ._durable_messages import DurableMessages  # imports sqlite3


_NO_LIMITS: Final = OutboxLimits(2**63, math.inf)


class Sender:
    """Sends accepted messages: the socket gets each of them, or its sender gets a typed error.

    On a new connection the order is: restored subscriptions, the protocol's own first frames, messages sent by watchers
    that are just being told of the new connection, and then what waited in the outbox. Later subscriptions take their
    place behind the messages that were accepted before them. Frames are never in the outbox: they end with their
    connection.
    """

    __slots__ = (
        "_clear",
        "_connection",
        "_expiry",
        "_feed",
        "_first",
        "_frames_after",
        "_holds",
        "_in_flight",
        "_is_asked",
        "_is_prioritizing",
        "_outbox",
        "_pace",
        "_priority_tasks",
        "_refusal",
        "_replay",
        "_report",
        "_source",
        "_stored",
        "_turn",
        "sent",
    )

    def __init__(
        self,
        limits: OutboxLimits,
        *,
        refusal: Callable[[], OnesocketError | None],
        report: Callable[[BaseException, str, bool], None],
        pace: RateLimiter | None = None,
        remedy: Callable[[], str] = str,
    ) -> None:
        self._outbox: Outbox[Delivery] = Outbox(limits)
        self._refusal = refusal
        self._report = report
        self._pace = pace
        self._turn: asyncio.TimerHandle | None = None
        self._connection: TransportConnection | None = None
        self._clear = True
        """True if the socket has taken all that was written to the connection."""
        self._in_flight = InFlight(self._settle_unknown)
        self._expiry = OutboxExpiry(self._outbox, self._settle, remedy)
        self._source: FrameSource | None = None
        self._replay: Replay | None = None
        """The successor that is being subscribed, beside the connection."""
        self._stored: DurableMessages | None = None
        self._feed: MessageFeed | None = None
        self._frames_after: int | None = None
        """Frames of the source are due once every message with a lower number is sent; None: none are due."""
        self._is_asked = False
        """True if `ask_source` was called in this turn of the loop, and its frames are still to be made."""
        self._first: list[Data] = []
        """The protocol's own frames that go before every message."""
        self._holds = 0
        """While above 0, the outbox is held: watchers are being called about a new connection."""
        self._priority_tasks: dict[asyncio.Task[Any] | None, None] = {}
        """Tasks that got the change, and may send first until the outbox opens."""
        self._is_prioritizing = False
        self.sent = 0

    def __repr__(self) -> str:
        connection = "no connection" if self._connection is None else "clear" if self._clear else "congested"
        return f"<Sender {connection} waiting={len(self._outbox)} in_flight={len(self._in_flight)} sent={self.sent}>"

    def __len__(self) -> int:
        """Number of messages whose fate is not known yet."""
        return len(self._outbox) + len(self._in_flight) + (0 if self._stored is None else len(self._stored))

    def post(self, data: Data, *, resend: bool = False, late: LateFrame | None = None) -> Delivery:
        """Accept one message; raises `OutboxFull`, or the refusal while the owner has stopped the client.

        `late`: makes the message anew if it can't be sent at once, or others go first.
        """
        goes_first = self._is_prioritizing
        is_busy = self._is_asked or self._holds or self._first or self._outbox.count or self._frames_after is not None
        if is_busy:  # in the usual way no more questions are asked, and no call is made but to the connection
            if self._is_asked:
                self._bring_frames()
            if self._priority_tasks and not goes_first:
                goes_first = asyncio.current_task() in self._priority_tasks
            if late is not None:
                data = late.make_frame()
        connection, was_clear = self._connection, self._clear
        if (
            connection is not None
            and was_clear
            and not (is_busy and self._is_overtaking(goes_first))
            and (self._pace is None or self._take_turn())
        ):
            try:
                taken = connection.send(data)
            except UnicodeError as error:
                raise _not_utf8(error) from error
            if taken:
                self.sent += 1
                return DELIVERED if self._clear else self._in_flight.add(Delivery(data, resend=resend))
            self._connection = None  # it is ending, and `connection_ended` follows
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        if isinstance(data, str):
            try:
                data.encode()
            except UnicodeError as error:
                raise _not_utf8(error) from error
        delivery = Delivery(data, resend=resend)
        delivery.late = late
        self._outbox.put(delivery, _now(), first=goes_first, is_lasting=late is not None and late.is_lasting)
        if not self._expiry.is_watching:  # else an older one expires before
            self._expiry.watch()
        return delivery

    def post_run(self, messages: list[Data]) -> list[Delivery] | None:
        """Write messages together, if the connection takes all of them now; None: they have to be posted one by one."""
        connection = self._connection
        if (
            connection is None
            or not self.has_room
            or self._is_asked
            or self._holds
            or self._first
            or self._frames_after is not None
            or self._pace is not None
        ):
            return None
        try:
            if not connection.send_run(messages):
                return None
        except UnicodeError:
            return None  # one of them: nothing was written
        self.sent += len(messages)
        if self._clear:
            return [DELIVERED] * len(messages)
        return [self._in_flight.add(Delivery(data)) for data in messages]

    def withdraw(self, delivery: Delivery) -> bool:
        """Take a message back that still waits in the outbox."""
        if self._stored is not None and self._stored.withdraw(delivery):
            return True
        found = self._outbox.discard(delivery)
        self._expiry.watch()
        if found and self._feed is not None and self.has_room:
            self._feed.on_room()
        return found

    # --- a queue beside the outbox ------------------------------------------------------------------------------------

    def set_feed(self, feed: MessageFeed) -> None:
        """Let this queue post messages; it has the limits, and the outbox none."""
        self._feed = feed
        self._outbox.limits = _NO_LIMITS

    @property
    def is_up(self) -> bool:
        """True while there is a connection that messages are sent on."""
        return self._connection is not None

    @property
    def has_room(self) -> bool:
        """True if the connection takes more, and nothing waits in the outbox."""
        return self._clear and self._connection is not None and not self._outbox.count

    # --- frames beside messages ---------------------------------------------------------------------------------------

    def set_stored(self, stored: DurableMessages) -> None:
        """Send these messages on every connection, behind all others."""
        self._stored = stored
        stored.attach(self._flush, self._settle)

    def set_source(self, source: FrameSource) -> None:
        """Send this source's frames on every connection."""
        self._source = source

    def ask_source(self) -> None:
        """The source has changed: send its frames behind the messages that were accepted before, soon."""
        if self._replay is not None:
            self._replay.ask_source()
        if self._connection is None or self._is_asked:
            return  # the next connection gets everything; or it's due already
        if self._frames_after is None:
            self._frames_after = self._outbox.next_number
        self._is_asked = True
        asyncio.get_running_loop().call_soon(self._bring_frames)

    def _end_source(self) -> None:
        if self._source is not None:
            self._source.end()

    def _bring_frames(self) -> None:
        if self._is_asked:
            self._is_asked = False
            self._flush()

    # --- messages upon a new connection -------------------------------------------------------------------------------

    def hold(self) -> None:
        """Hold the outbox until watchers have been called, in the next turn of the loop."""
        self._holds += 1
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._release)

    def _release(self) -> None:
        self._holds = max(0, self._holds - 1)
        if not self._holds:
            self._priority_tasks.clear()
            self._flush()

    @contextlib.contextmanager
    def prioritized(self) -> Generator[None, None, None]:
        """Messages sent inside this context go before those that wait in the outbox."""
        self._is_prioritizing, before = True, self._is_prioritizing
        try:
            yield
        finally:
            self._is_prioritizing = before

    def prioritize_current_task(self) -> None:
        """Let messages of the running task, which has just got the change, go first until the outbox opens."""
        if self._holds:
            self._priority_tasks[asyncio.current_task()] = None

    @property
    def _is_held(self) -> bool:
        # Without an outbox nothing waits that could be overtaken.
        return self._holds > 0 and self._outbox.limits.messages > 0

    # --- called by the runner -----------------------------------------------------------------------------------------

    def connection_ready(self, connection: TransportConnection, first: Iterable[Data] = ()) -> None:
        """Begin to send on a connection that is logged in. `first`: the protocol's own frames for it."""
        self._connection = connection
        self._first = list(first)
        self._is_asked = False
        if self._source is not None:
            self._source.begin()
            self._frames_after = 0
        if self._stored is not None:
            self._stored.begin()
        self._flush()

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event
        """Note that the socket has taken all that was written, or takes no more for now."""
        self._clear = now_writable
        if now_writable:
            self._in_flight.writable(now_writable)
            if self._stored is not None:
                self._stored.flushed()
            self._flush()

    def connection_closing(self, *, drain: bool) -> None:
        """Stop sending, as a close begins. `drain`: first write the messages that wait, before the CLOSE frame."""
        if drain:
            if self._feed is not None:
                self._feed.on_closing()
            self._flush(even_if_congested=True)
        self._connection = None
        self._stop_turn()
        self._end_source()

    def connection_ended(self) -> None:
        """Settle the messages in flight, whose result is unknown, as the connection is gone."""
        self._connection = None
        self._frames_after = None
        self._first.clear()
        self._stop_turn()
        self._end_source()
        self._clear = True
        self._in_flight.ended()
        if self._stored is not None:
            self._stored.connection_ended()
        if self._feed is not None:
            self._feed.on_lost()
        self._expiry.watch()

    def _settle_unknown(self, flown: list[Delivery]) -> None:
        unknown = DeliveryUnknown(
            "the connection broke while this message was being written: it may or may not have arrived; "
            "send it again only if that does no harm, or with resend=True when that is so"
        )
        self._settle([delivery for delivery in flown if not self._wait_again(delivery, unknown)], unknown)

    def leave_loop(self) -> None:
        """Stop what goes on on the loop; there is no connection."""
        self._stop_turn()
        self._expiry.stop()
        self._holds, self._is_asked = 0, False
        self._priority_tasks.clear()

    def enter_loop(self) -> None:
        """Go on on the running loop."""
        self._expiry.watch()

    # --- a successor --------------------------------------------------------------------------------------------------

    def set_pace(self, pace: RateLimiter | None) -> None:
        """Keep the pace of another connection from now on."""
        self._pace = pace

    def begin_replay(self, replay: Replay) -> None:
        """Keep a successor informed of changes of the source."""
        self._replay = replay

    def hear_answers(self, hears: bool) -> None:  # noqa: FBT001 - an event
        """Let the source take messages for answers to its frames, or not."""
        if self._source is not None:
            self._source.hear_answers(hears)

    def fork_source(self) -> FrameSource | None:
        """Return a source of frames for a successor; None: there is none."""
        return None if self._source is None else self._source.fork()

    def end_replay(self) -> None:
        """End the successor: it was lost."""
        self._replay = None

    def detach(self) -> InFlight:
        """Give up the connection, whose place a successor takes; returns the messages that it is still writing."""
        in_flight, self._in_flight = self._in_flight, InFlight(self._settle_unknown)
        self._connection = self._frames_after = None
        self._first.clear()
        self._is_asked, self._clear = False, True
        self._stop_turn()
        if self._stored is not None:
            self._stored.connection_ended()
        return in_flight

    def attach(
        self,
        connection: TransportConnection,
        source: FrameSource | None,
        first: Iterable[Data],
    ) -> None:
        """Begin to send on the successor, which was subscribed by frames of this source."""
        self._replay = None
        if source is not None and self._source is not None:
            self._source.adopt(source)
        self._connection = connection
        self._first = list(first)
        self._frames_after = None if source is None else 0
        if self._stored is not None:
            self._stored.begin()
        self._flush()

    def _wait_again(self, delivery: Delivery, unknown: DeliveryUnknown) -> bool:
        """Put a message that may be sent twice into the outbox again; False: it may not, or can't."""
        if not delivery.resend or self._refusal() is not None:
            return False
        delivery.earlier_unknown = unknown
        try:
            self._outbox.put(delivery, _now())
        except OutboxFull:
            return False
        return True

    def reject_waiting(self, error: OnesocketError) -> None:
        """Settle all waiting messages with this error, as the owner stopped the client."""
        waiting = [self._outbox.take() for _ in range(len(self._outbox))]
        self._expiry.watch()
        self._settle(waiting, error)
        if self._stored is not None:
            self._stored.stopped()
        if self._feed is not None:
            self._feed.on_refusal(error)

    # --- writing ------------------------------------------------------------------------------------------------------

    def _is_overtaking(self, goes_first: bool) -> bool:  # noqa: FBT001 - one of two kinds
        """Return True if a message that went straight to the connection would overtake another one."""
        if self._frames_after is not None or self._first:
            return True
        return self._outbox.has_first if goes_first else self._outbox.count > 0 or (self._holds > 0 and self._is_held)

    def _flush(self, *, even_if_congested: bool = False) -> None:
        self._expiry.expire()
        while (connection := self._connection) is not None and (self._is_clear() or even_if_congested):
            send = self._next(even_if_held=even_if_congested)
            is_control = send in (self._send_of_source, self._send_first)
            if send is None or (self._pace is not None and not self._take_turn(is_control=is_control)):
                break
            if not send(connection):
                self._connection = None
        self._expiry.watch()
        if self._feed is not None and self.has_room:
            self._feed.on_room()

    def _next(self, *, even_if_held: bool) -> Callable[[TransportConnection], bool] | None:
        """Returns the function that sends the next frame or message; None: there is nothing to send.

        That function returns False if the connection takes no more.
        """
        waiting = self._outbox.count
        if self._frames_after is not None and (not waiting or self._outbox.number >= self._frames_after):
            if self._source is not None and self._source.peek() is not None:
                return self._send_of_source
            self._frames_after = None
        if self._first:
            return self._send_first
        may_go = not self._is_held or even_if_held or self._outbox.has_first
        if waiting and may_go:
            return self._send_message
        stored = None if self._stored is None or self._holds or even_if_held else self._stored.peek()
        return None if stored is None else self._send_stored

    def _send_of_source(self, connection: TransportConnection) -> bool:
        frame = None if self._source is None else self._source.peek()
        if self._source is None or frame is None or not self._send_frame(connection, frame):
            return False
        self._source.taken()
        return True

    def _send_first(self, connection: TransportConnection) -> bool:
        if not self._send_frame(connection, self._first[0]):
            return False
        self._first.pop(0)
        return True

    def _send_stored(self, connection: TransportConnection) -> bool:
        data = None if self._stored is None else self._stored.peek()
        if self._stored is None or data is None or not connection.send(data):
            return False
        self.sent += 1
        self._stored.taken()
        if self._is_clear():
            self._stored.flushed()
        return True

    def _send_frame(self, connection: TransportConnection, frame: Data) -> bool:
        try:
            taken = connection.send(frame)
        except UnicodeError as error:
            is_news = True
            self._report(_not_utf8(error), "a frame of the protocol", is_news)
            return True  # trying it again would only delay the others
        self.sent += taken
        return taken

    def _send_message(self, connection: TransportConnection) -> bool:
        delivery = self._outbox.peek()
        late = delivery.late
        try:
            data = delivery.data if late is None else late.make_frame()
        except USER_ERRORS as error:
            self._outbox.take()
            failure = error if isinstance(error, OnesocketError) else EncodeError(f"{type(error).__name__} was raised")
            failure.__cause__ = None if failure is error else error
            delivery.resolve(failure)
            return True
        if data is None or not connection.send(data):
            return False
        self._outbox.take()
        self.sent += 1
        if late is not None:
            late.on_sent()
        if self._is_clear():
            delivery.resolve()
        else:
            self._in_flight.add(delivery)
        return True

    def _take_turn(self, *, is_control: bool = False) -> bool:
        """True if the peer's pace allows one more message; if not, the outbox goes on when its turn comes."""
        if self._pace is None:
            return True
        wait = self._pace.take_control(_now()) if is_control else self._pace.take(_now())
        if wait > 0 and self._turn is None:
            self._turn = asyncio.get_running_loop().call_later(wait, self._turn_came)
        return wait <= 0

    def _turn_came(self) -> None:
        self._turn = None
        self._flush()

    def _stop_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _is_clear(self) -> bool:
        # A call, so that type checkers know that writing may have changed it.
        return self._clear

    def _settle(self, deliveries: Iterable[Delivery], error: OnesocketError) -> None:
        logged = False  # one log entry for all messages of one loss
        for delivery in deliveries:
            watched = delivery.is_awaited
            delivery.resolve(error)
            if not watched:
                self._report(error.copy(), "send_nowait()", not logged)
                logged = True


def _not_utf8(error: UnicodeError) -> EncodeError:
    return EncodeError(f"this text can't be sent as UTF-8: {error.args[-1]}")


def _now() -> float:
    return asyncio.get_running_loop().time()
