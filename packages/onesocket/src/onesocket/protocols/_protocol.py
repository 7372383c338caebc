"""The protocol port: what the frames of a line mean. Sans-IO; time is an argument, and actions are returned.

It fits a codec that is ready as soon as the socket opens, and just as well a protocol with its own login, heartbeat,
resume and fatal verdicts: between *open* and *ready* the line is still CONNECTING.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from ..errors import OnesocketError
from ..lifecycle._peer_errors import closed_by_peer
from ..wire._handshake import Data, DialRequest
from ._fingerprint import comparable_form, constructor_arguments, digest, name_of
from ._token import TokenHeader, TokenPlace


def as_is(data: Data) -> Data:
    """The `decoder` of a protocol whose messages are the frames themselves: the shortest road."""
    return data


# --- what a protocol wants done -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Write this message now (a login, a heartbeat); it doesn't pass through the outbox."""

    data: Data


@dataclass(frozen=True, slots=True)
class Ready:
    """Logged in.

    `resumed`: the session went on and what was missed is replayed, so there is no gap to announce. `first`: frames that
    go out before every message that waits, at the protocol's `pace`; those that are unsent when the connection is lost
    end with it. (Only of a connection's first `Ready`.)
    """

    resumed: bool = False
    first: tuple[Data, ...] = ()


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand this message to the subscribers."""

    message: Any


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Call `wake` at this time (the clock of `now`); replaces an earlier one. None: not any more."""

    at: float | None


@dataclass(frozen=True, slots=True)
class Extend:
    """The peer's rules make this login wait its turn: the attempt's deadline moves by so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    """The line can't go on: login refused, session invalid, heartbeat unanswered.

    `error.retryable` decides whether a lost line is resumed; `code` and `reason` are what the peer is told; `dead`
    says that nobody is there to be told, so no close handshake is awaited.
    """

    error: OnesocketError
    code: int = 1000
    reason: str = ""
    dead: bool = False


Action = Send | Ready | Deliver | WakeAt | Extend | Fail


class RateLimiter(abc.ABC):
    """Limit on the rate of sending on one line, for restored subscriptions and messages; the rest waits for its turn.

    What the protocol itself sends (`Send`) doesn't wait.
    """

    @abc.abstractmethod
    def take(self, now: float) -> float:
        """Take the turn of one message: 0, or the seconds until there may be one, and then none was taken."""


class Protocol(abc.ABC):
    """One instance serves one client for all its epochs: it may keep a session from one line to the next."""

    name: ClassVar[str]
    subprotocols: tuple[str, ...] = ()
    """Sub-protocols to offer, most wanted first (RFC 6455, section 1.9)."""
    token_place: TokenPlace | None = TokenHeader()
    """Where the token goes; None: only into the login."""
    pace: RateLimiter | None = None
    """How fast messages may be sent; None: as fast as the socket takes them."""
    _constructor_arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments, which are part of the fingerprint."""
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments")
        made = super().__new__(cls)
        made._constructor_arguments = args, kwargs
        return made

    @cached_property
    def fingerprint(self) -> str:
        """A text that two protocols share if one connection serves both: they log in, encode and decode alike.

        It is made from the class (by name) and the arguments of the constructor, by value; functions among them count
        by their names here, and are compared beside it (`opaque_arguments`). Override it (a property, or an attribute
        that the constructor sets) where those don't tell, or differ without a difference; a text that names an account
        should be a digest.
        """
        return self._default_fingerprint()[0]

    @property
    def opaque_arguments(self) -> tuple[object, ...]:
        """The constructor's arguments that only `==` can compare (functions); none if `fingerprint` is overridden."""
        fingerprint, opaque = self._default_fingerprint()
        return opaque if self.fingerprint == fingerprint else ()

    def _default_fingerprint(self) -> tuple[str, tuple[object, ...]]:
        opaque: list[object] = []
        form = comparable_form(constructor_arguments(self, *self._constructor_arguments), opaque)
        return digest((name_of(type(self)), form)), tuple(opaque)

    def prepare(self, request: DialRequest, token: str | None) -> DialRequest:
        """The request for the next attempt: the place to add a token, or to go to a resume address."""
        if token is not None and self.token_place is not None:
            request = self.token_place.put(request, token)
        return request

    def opened(self, token: str | None, now: float) -> Iterable[Action]:
        """The socket is open: begin the login, or be `Ready` at once."""
        del token, now
        return (Ready(),)

    @abc.abstractmethod
    def received(self, data: Data, now: float) -> Iterable[Action]:
        """One whole message came. Raises `DecodeError` when it can't be read."""

    def wake(self, now: float) -> Iterable[Action]:
        """The time named by `WakeAt` has come."""
        del now
        return ()

    def unread(self) -> None:  # noqa: B027 - most protocols judge no silence
        """Said before `wake` when silence proves nothing.

        A reader holds the line back, or a large message is on its way, and what we wait for is behind it.
        """

    def closing(self, code: int) -> None:
        """We, and not the peer, close the line with this code; it may end a session or keep it."""
        del code

    def lost(self, now: float) -> None:
        """The line is gone; the next thing called is `prepare`."""
        del now

    @abc.abstractmethod
    def encode(self, message: Any) -> Data:
        """One message for the wire. Raises `EncodeError`."""

    def decoder(self) -> Callable[[Data], Any] | None:
        """Once ready: if every frame is just one message, the function that reads it; the fast road.

        None: `received` is asked for every frame.
        """
        return None

    def event_of(self, message: Any) -> str | None:
        """The event name that `subscribe("…")` and `on("…")` filter by; None when the message has none."""
        del message
        return None

    def closed(self, code: int, reason: str) -> OnesocketError:
        """What the peer's CLOSE means; the error's `retryable` is the verdict."""
        return closed_by_peer(code, reason)

    # --- sharing: optional; see `implements` ------------------------------------------------------------------------

    def subscribe_frames(self, keys: Any) -> Iterable[Data]:
        """Frames that subscribe the connection to `keys` (a frozenset), for ``subscribe(keys=…)`` of shared clients.

        A protocol with this and `unsubscribe_frames` has its subscriptions merged: only differences are sent.
        """
        raise NotImplementedError

    def unsubscribe_frames(self, keys: Any) -> Iterable[Data]:
        """Frames that end the connection's subscriptions to `keys` (a frozenset)."""
        raise NotImplementedError

    def key_of(self, message: Any) -> Hashable:
        """The subscription key of a message, for the filter of ``subscribe(keys=…)``."""
        raise NotImplementedError

    def pack(self, message: Any) -> Data:
        """One message for another process of this machine, where messages are not single frames (no `decoder`)."""
        raise NotImplementedError

    def unpack(self, data: Data) -> Any:
        """The message that was packed. Raises `DecodeError`."""
        raise NotImplementedError


def implements(protocol: Protocol, *methods: Callable[..., Any]) -> bool:
    """Check whether the class of `protocol` overrides optional methods: ``implements(protocol, Protocol.pack)``."""
    return all(getattr(type(protocol), method.__name__) is not method for method in methods)
