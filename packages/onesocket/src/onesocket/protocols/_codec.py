"""Protocols in which every frame is one message: a codec, with or without a `Login` before it."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from ..errors import InvalidOption
from ..wire._handshake import Data
from ._acknowledgement import Acknowledgement
from ._heartbeat import Heartbeat, HeartbeatSchedule
from ._login import Login
from ._message_type import M_co
from ._pace import Pace, check_pace
from ._protocol import Action, Deliver, Fail, NoMessage, Protocol, Ready, Send
from ._token import TokenPlace

_UNSET: Any = object()


class CodecOptions(TypedDict, total=False):
    """The options of every codec; see `CodecProtocol`."""

    login: Login | None
    event: str | Callable[[Any], str | None] | None
    subprotocols: Iterable[str]
    token_place: TokenPlace | None
    pace: Pace | None
    control_pace: Pace | None
    heartbeat: Heartbeat | None
    on_ready: Callable[[], Iterable[Any]] | None
    acknowledges: Acknowledgement | None


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
    ) -> None:
        """Make a codec; every option is keyword-only.

        `event`: the key that holds a message's event name, or a function that finds it. `pace`: the peer's limit on
        all sent messages. `control_pace`: its limit on control messages (login, `on_ready`, subscriptions, heartbeats),
        which count in both. `heartbeat`: messages that show life, and the peer's answers, or its own and our replies.
        `on_ready`: a function that returns messages for a new connection; they are sent after the
        login and restored subscriptions, before messages of the outbox.
        `acknowledges`: how the peer acknowledges messages, for a `DurableOutbox`.
        """
        self.login = login
        self.event = event
        if isinstance(subprotocols, str):
            raise InvalidOption(f"subprotocols must be a list of names, such as [{subprotocols!r}], not one str")
        self.subprotocols = tuple(subprotocols)
        if token_place is not _UNSET:
            self.token_place = token_place
        elif login is not None and login.request is not None:
            self.token_place = None  # the login carries it
        self.pace = check_pace("pace", pace)
        self.control_pace = check_pace("control_pace", control_pace)
        _check_on_ready(on_ready)
        self.on_ready = on_ready
        _check_acknowledges(acknowledges)
        self.acknowledges = acknowledges
        if heartbeat is not None and not isinstance(heartbeat, Heartbeat):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"heartbeat must be a Heartbeat(...) or None, not {heartbeat!r}")
        self._heartbeats = None if heartbeat is None else HeartbeatSchedule(heartbeat)
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

    def received(self, data: Data, now: float) -> Iterable[Action]:
        """Take one message: a step of the login, or a message for the subscribers."""
        heartbeats = self._heartbeats
        if heartbeats is not None and heartbeats.has_found:
            return heartbeats.take(now, self.encode)
        try:
            message = self.decode(data) if heartbeats is None else self._decode_message(data)
        except NoMessage:
            return () if heartbeats is None else heartbeats.take(now, self.encode)
        if self._ready or self.login is None or self.login.ready is None:
            return (Deliver(message),)
        return self._login_step(self.login, message, now)

    def wake(self, now: float) -> Iterable[Action]:
        """Send the heartbeat or reply that is due, and look for the answer."""
        return () if self._heartbeats is None else self._heartbeats.wake(now, self.encode)

    def unread(self) -> None:
        """Excuse a missing answer to a heartbeat."""
        if self._heartbeats is not None:
            self._heartbeats.unread()

    def decoder(self) -> Callable[[Data], M_co] | None:
        """Return `decode`, as every frame is one message, but for heartbeats."""
        filters = self._heartbeats is not None and self._heartbeats.filters
        return self._decode_message if filters else self.frame_decoder()

    def frame_decoder(self) -> Callable[[Data], M_co] | None:
        """Return `decode`: every delivered message is one frame."""
        return self.decode

    def _decode_message(self, data: Data) -> M_co:
        """Decode one frame to a message; raises `NoMessage` for a heartbeat."""
        heartbeats = self._heartbeats
        is_raw = heartbeats is not None and heartbeats.heartbeat.raw
        if heartbeats is not None and is_raw and heartbeats.is_heartbeat(data):
            raise NoMessage
        message = self.decode(data)
        if heartbeats is not None and not is_raw and heartbeats.is_heartbeat(message):
            raise NoMessage
        return message

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
            return Ready(first=tuple(map(self.encode, self.on_ready())))
        except Exception as error:  # noqa: BLE001 - the caller's own function may raise anything
            return Fail.of_function("on_ready=", error)


# Arguments of callers are `object` here: callers may not use a type checker.


def _check_on_ready(on_ready: object) -> None:
    if on_ready is None or (callable(on_ready) and not inspect.iscoroutinefunction(on_ready)):
        return
    raise InvalidOption(
        f"on_ready must be a plain function that returns the messages to send on a new connection, not {on_ready!r}"
    )


def _check_acknowledges(acknowledges: object) -> None:
    if acknowledges is not None and not isinstance(acknowledges, Acknowledgement):
        raise InvalidOption(
            f"acknowledges must be an Acknowledgement(id_of=…, acknowledged_by=…) or None, not {acknowledges!r}"
        )
