"""Protocols in which every frame is one message: a codec, with or without a `Login` before it."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from ..errors import OnesocketError, UsageError
from ..lifecycle._side_data import GHOST_SECONDS
from ..wire._handshake import Data
from ._codec_options import (
    check_acknowledges,
    check_event,
    check_function,
    check_ghost_seconds,
    check_login,
    check_on_ready,
    check_request_options,
    check_snapshot_option,
    check_subprotocols,
    check_token_place,
    make_heartbeats,
    make_receipts,
)
from ._message_type import M_co
from ._pace import Pace, check_pace
from ._plain_function import kind_of
from ._protocol import Action, Deliver, Fail, NoMessage, Protocol, Ready, Send
from ._subscriptions import Subscriptions, check_subscriptions
from ._token import TokenPlace

if TYPE_CHECKING:
    from ._acknowledgement import Acknowledgement
    from ._heartbeat import Heartbeat
    from ._login import Login
    from ._requests import Requests
    from ._snapshot import Snapshot

_UNSET: Any = object()


class CodecProtocol(Protocol[M_co]):
    """Base of `Raw`, `Json` and `Msgpack`: subclasses decode and encode one message."""

    def __init__(
        self,
        *,
        login: Login | None = None,
        event: str | Callable[[Any], str | None] | None = None,
        subprotocols: Iterable[str] = (),
        token_place: TokenPlace | None = _UNSET,
        pace: Pace | None = None,
        control_pace: Pace | None = None,
        heartbeat: Heartbeat | None = None,
        on_ready: Callable[[], Iterable[Any]] | None = None,
        acknowledges: Acknowledgement | None = None,
        requests: Requests | None = None,
        subscriptions: Subscriptions | None = None,
        snapshot: Snapshot | None = None,
        receipt: Callable[[Any], Any] | None = None,
        closed: Callable[[int, str], OnesocketError | None] | None = None,
        ghost_seconds: float = GHOST_SECONDS,
    ) -> None:
        """Make a codec; every option is keyword-only.

        `event`: the key that holds a message's event name, or a function that finds it. `pace`: the peer's limit on
        all sent messages. `control_pace`: its limit on control messages (login, `on_ready`, subscriptions, heartbeats),
        which count in both. `heartbeat`: messages that show life, and the peer's answers, or its own and our replies.
        `on_ready`: a function that returns messages for a new connection; they are sent after the
        login and restored subscriptions, before messages of the outbox.
        `acknowledges`: how the peer acknowledges messages, for a `DurableOutbox`. `requests`: the ids of requests and
        their answers, for ``client.request()``. `subscriptions`: the messages that subscribe to keys, for
        ``subscribe(keys=…)``.
        `snapshot`: the messages with which readers begin that come late.
        `receipt`: a function of a received message that returns the one to send back for it, or None.
        `closed`: a function of a close code and its reason that returns the error for it, or None for the general one.
        `ghost_seconds`: for so long the service may count a connection that has ended, and refuse the next one.
        """
        self.login = check_login(login)
        self.event: str | Callable[[Any], str | None] | None = check_event(event)
        self.subprotocols = check_subprotocols(subprotocols)
        if token_place is not _UNSET:
            self.token_place = check_token_place(token_place)
        elif login is not None and login.request is not None:
            self.token_place = None  # the login carries it
        self.pace = check_pace("pace", pace)
        self.control_pace = check_pace("control_pace", control_pace)
        self.on_ready: Callable[[], Iterable[Any]] | None = check_on_ready(on_ready)
        self.acknowledges = check_acknowledges(acknowledges)
        self.requests = check_request_options(requests)
        self.subscriptions = check_subscriptions(subscriptions, self.requests)
        self.snapshot = check_snapshot_option(snapshot)
        self._receipts = make_receipts(receipt)
        self._closed: Callable[[int, str], OnesocketError | None] | None = check_function("closed", closed)
        if check_ghost_seconds(ghost_seconds) != GHOST_SECONDS:
            self.ghost_seconds = ghost_seconds
        self._heartbeats = make_heartbeats(heartbeat)
        self._ready = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' with login' if self.login else ''}>"

    @abc.abstractmethod
    def decode(self, data: Data) -> M_co:
        """Decode one frame to a message. Raises `DecodeError`."""

    def opened(self, token: str | None, now: float) -> Iterable[Action]:
        """Begin the login, or be ready at once."""
        if self._heartbeats is not None:
            self._heartbeats.reset()
        self._ready = self.login is None or self.login.ready is None
        actions: list[Action] = []
        if self.login is not None and self.login.request is not None:
            actions.append(Send(self.encode(self.login.request(token))))
        if self._ready:
            actions += self._become_ready(now)
        return actions

    def successor(self) -> Self:
        """Return a copy, with a login and heartbeats of its own."""
        twin, heartbeats = copy.copy(self), self._heartbeats
        own = None if heartbeats is None else type(heartbeats)(heartbeats.heartbeat)
        vars(twin).update(_ready=False, _heartbeats=own)
        return twin

    def received(self, data: Data, now: float) -> Iterable[Action]:
        """Take one message: a step of the login, or a message for the subscribers."""
        heartbeats = self._heartbeats
        if heartbeats is not None and heartbeats.has_found:
            return heartbeats.take(now, self.encode)
        try:
            message = self.decode(data) if heartbeats is None else self._decode_message(data)
        except NoMessage:
            return () if heartbeats is None else heartbeats.take(now, self.encode)
        return self._take(message, now)

    def _take(self, message: Any, now: float, frame: Data | None = None) -> Iterable[Action]:
        """Take a message: a step of the login, or one for the subscribers. `frame`: as of `Deliver`."""
        if self._ready or self.login is None or self.login.ready is None:
            delivery = Deliver(message, frame)
            return (delivery,) if self._receipts is None else (delivery, *self._receipts.of(message, self.encode))
        return self._login_step(self.login, message, now)

    def wake(self, now: float) -> Iterable[Action]:
        """Send the heartbeat or reply that is due, and look for the answer."""
        return () if self._heartbeats is None else self._heartbeats.wake(now, self.encode)

    def unread(self) -> None:
        """Excuse a missing answer to a heartbeat."""
        if self._heartbeats is not None:
            self._heartbeats.unread()

    def decoder(self) -> Callable[[Data], M_co] | None:
        """Return `decode`, as every frame is one message, but for heartbeats; None where there are receipts."""
        if self._receipts is not None:
            return None
        filters = self._heartbeats is not None and self._heartbeats.filters
        return self._decode_message if filters else self.frame_decoder()

    def frame_decoder(self) -> Callable[[Data], M_co] | None:
        """Return `decode`: every delivered message is one frame."""
        return self.decode

    def closed(self, code: int, reason: str) -> OnesocketError:
        """Return the error of the function `closed`, or else that of all protocols."""
        error: Any = None if self._closed is None else self._closed(code, reason)
        if error is None:
            return super().closed(code, reason)
        if not isinstance(error, OnesocketError):
            raise UsageError(f"closed= must return an OnesocketError or None, not {kind_of(error)}")
        return error

    def _decode_message(self, data: Data) -> M_co:
        """Decode one frame to a message; raises `NoMessage` for a heartbeat."""
        if self._is_heartbeat(data, raw=True):
            raise NoMessage
        message = self.decode(data)
        if self._is_heartbeat(message, raw=False):
            raise NoMessage
        return message

    def _is_heartbeat(self, message: Any, *, raw: bool) -> bool:
        """Find a heartbeat: a frame with `raw`, else a decoded message."""
        heartbeats = self._heartbeats
        return heartbeats is not None and heartbeats.heartbeat.raw is raw and heartbeats.is_heartbeat(message)

    def event_of(self, message: Any) -> str | None:
        """Return the name under the key `event`, or the function's result."""
        if self.event is None:
            return None
        if callable(self.event):
            return self.event(message)
        # A mapping has the name under its key, a msgspec Struct as its attribute.
        get: Any = getattr(message, "get", None)
        name: object = get(self.event) if callable(get) else getattr(message, self.event, None)
        return name if isinstance(name, str) else None

    @property
    def names_events(self) -> bool:
        """True with the option `event`, or where a subclass has an `event_of` of its own."""
        return self.event is not None or type(self).event_of is not CodecProtocol.event_of

    def _login_step(self, login: Login, message: Any, now: float) -> Iterable[Action]:
        refusal = login.refusal(message)
        if refusal is not None:
            return (Fail(refusal),)
        if login.ready is not None and login.ready(message):
            self._ready = True
            return self._become_ready(now)
        return ()

    def _become_ready(self, now: float) -> Iterable[Action]:
        heartbeats = self._heartbeats
        return (self._report_ready(), *(heartbeats.begin(now) if heartbeats is not None else ()))

    def _report_ready(self) -> Action:
        if self.on_ready is None:
            return Ready()
        try:
            messages: Any = self.on_ready()
            if isinstance(messages, str | bytes | Mapping):  # it would be taken apart
                kind = type(cast("object", messages)).__name__
                raise UsageError(f"on_ready= must return a list of messages, not one {kind}")
            return Ready(first=tuple(map(self.encode, messages)))
        except Exception as error:  # noqa: BLE001 - the caller's own function may raise anything
            return Fail.of_function("on_ready=", error)
