"""Protocols in which every frame is one message: a codec, with or without a `Login` before it."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from ..errors import InvalidOption, OnesocketError, UsageError
from ..wire._handshake import Data
from ._login import Login
from ._message_type import M_co
from ._pace import Pace, check_pace
from ._protocol import Action, Deliver, Fail, Protocol, Ready, Send
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
    on_ready: Callable[[], Iterable[Any]] | None


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
        on_ready: Callable[[], Iterable[Any]] | None = None,
    ) -> None:
        """Make a codec; every option is keyword-only.

        `event`: the key that holds a message's event name, or a function that finds it. `pace`: the peer's limit on
        all sent messages. `control_pace`: its limit on control messages (login, `on_ready`, subscriptions, heartbeats),
        which count in both. `on_ready`: a function that returns messages for a new connection; they are sent after the
        login and restored subscriptions, before messages of the outbox.
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
        self._ready = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' with login' if self.login else ''}>"

    @abc.abstractmethod
    def decode(self, data: Data) -> M_co:
        """Decode one frame to a message. Raises `DecodeError`."""

    def opened(self, token: str | None, now: float) -> Iterable[Action]:
        """Begin the login, or be ready at once."""
        del now
        self._ready = self.login is None or self.login.ready is None
        actions: list[Action] = []
        if self.login is not None and self.login.request is not None:
            actions.append(Send(self.encode(self.login.request(token))))
        if self._ready:
            actions.append(self._is_ready())
        return actions

    def received(self, data: Data, now: float) -> Iterable[Action]:
        """Take one message: a step of the login, or a message for the subscribers."""
        del now
        message = self.decode(data)
        if self._ready or self.login is None or self.login.ready is None:
            return (Deliver(message),)
        return self._login_step(self.login, message)

    def decoder(self) -> Callable[[Data], M_co] | None:
        """Return `decode`, as every frame is one message."""
        return self.decode

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

    def _login_step(self, login: Login, message: Any) -> Iterable[Action]:
        refusal = login.refusal(message)
        if refusal is not None:
            return (Fail(refusal),)
        if login.ready is not None and login.ready(message):
            self._ready = True
            return (self._is_ready(),)
        return ()

    def _is_ready(self) -> Action:
        if self.on_ready is None:
            return Ready()
        try:
            return Ready(first=tuple(map(self.encode, self.on_ready())))
        except OnesocketError as error:
            return Fail(error)
        except Exception as error:  # noqa: BLE001 - the caller's own function may raise anything
            failure = UsageError(f"on_ready= raised {type(error).__name__}")
            failure.__cause__ = error
            failure.retryable = True  # its cause may be temporary
            return Fail(failure)


# Arguments of callers are `object` here: callers may not use a type checker.


def _check_on_ready(on_ready: object) -> None:
    if on_ready is None or (callable(on_ready) and not inspect.iscoroutinefunction(on_ready)):
        return
    raise InvalidOption(
        f"on_ready must be a plain function that returns the messages to send on a new connection, not {on_ready!r}"
    )
