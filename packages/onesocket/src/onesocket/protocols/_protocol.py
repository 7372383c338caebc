"""The protocol port: the meaning of the frames of a connection. Sans-IO: time is an argument, actions are returned.

It fits a codec that is ready as soon as the socket opens, and a protocol with its own login, heartbeat, resume and
fatal verdicts: between *open* and *ready* the connection is still CONNECTING.
"""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Hashable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeAlias

from .._record import record
from ..errors import DecodeError, OnesocketError, UsageError
from ..lifecycle._peer_errors import closed_by_peer
from ..lifecycle._side_data import GHOST_SECONDS
from ..wire._handshake import Data, DialRequest
from ._fingerprint import comparable_form, constructor_arguments, digest, name_of
from ._message_type import M_co
from ._pace import Pace
from ._rate_limiter import RateLimiter
from ._token import TokenHeader, TokenPlace

if TYPE_CHECKING:
    from ._acknowledgement import Acknowledgement
    from ._requests import Requests
    from ._snapshot import Snapshot
    from ._subscriptions import Subscriptions  # imports this module


ReserveSlot: TypeAlias = Callable[[str, float, float], Awaitable[float]]
"""Reserves a slot for a login among the hosts of a cluster: called with its name, the seconds to the next one of that
name, and the seconds until the earliest time; returns the seconds until it. Raises `EngineUnavailable` and others."""


def as_is(data: Data) -> Data:
    """Return `data`: the `decoder` of a protocol whose messages are the frames themselves."""
    return data


class NoMessage(Exception):
    """Raised by the function that `decoder` returns, for a frame that is no message: `received` is called with it."""


# --- actions ----------------------------------------------------------------------------------------------------------


@record
class Send:
    """Write this message now (a login, a heartbeat); it doesn't pass through the outbox, and counts in the pace."""

    data: Data


@record
class Ready:
    """Report that the login is complete.

    `resumed`: the session continues and missed messages are replayed, so there is no gap. `first`: frames that
    go out before every message that waits, at the protocol's `pace`; those that are unsent when the connection is lost
    end with it. (Only of a connection's first `Ready`.)
    """

    resumed: bool = False
    first: tuple[Data, ...] = ()


@record
class Deliver:
    """Hand this message to the subscribers.

    `frame`: the encoded message, where it is a part of a frame; it goes to other processes.
    """

    message: Any
    frame: Data | None = None


@record
class Undecodable:
    """Announce a gap for a message that can't be decoded; others of its frame can.

    `frame`: as of `Deliver`. `count`: the number of messages that are missing, or None if that isn't known.
    """

    error: DecodeError
    frame: Data | None = None
    count: int | None = 1


@record
class WakeAt:
    """Call `wake` at this time (the clock of `now`); replaces an earlier one. None: not any more.

    `sends`: that call sends a message, so it comes when the pace has a place for it, at this time or later.
    """

    at: float | None
    sends: bool = False


@record
class Extend:
    """The peer's rules make this login wait its turn: the attempt's deadline moves by so many seconds."""

    seconds: float


@record
class Fail:
    """Fail the connection: login refused, session invalid, heartbeat unanswered.

    `error.retryable` decides whether a lost connection is resumed; `code` and `reason` are sent in the CLOSE; `dead`:
    the peer doesn't answer any more, so no close handshake is awaited.
    """

    error: OnesocketError
    code: int = 1000
    reason: str = ""
    dead: bool = False

    @classmethod
    def of_function(cls, what: str, error: Exception) -> Self:
        """The failure by a function of the program, which `what` names: by its own error, if that is a typed one."""
        if isinstance(error, OnesocketError):
            return cls(error)
        failure = UsageError(f"{what} raised {type(error).__name__}")
        failure.__cause__ = error
        failure.retryable = True  # its cause may be temporary
        return cls(failure)


Action = Send | Ready | Deliver | Undecodable | WakeAt | Extend | Fail


class Protocol(abc.ABC, Generic[M_co]):
    """Base of protocols; one instance serves one client for all its epochs, so it may keep a session.

    Its parameter is the type of received messages: with a ``Protocol[Trade]``, ``client.subscribe()`` gives
    ``Trade | Gap``. Left out, it is `Any`.
    """

    name: ClassVar[str]
    subprotocols: tuple[str, ...] = ()
    """Sub-protocols to offer, most wanted first (RFC 6455, section 1.9)."""
    token_place: TokenPlace | None = TokenHeader()
    """Place of the token in the request; None: only in the login."""
    pace: Pace | RateLimiter | None = None
    """Limit on the rate of all messages; None: no limit."""
    control_pace: Pace | None = None
    """Limit on the rate of subscriptions and of the protocol's own messages, which count in both; None: no limit."""
    acknowledges: Acknowledgement | None = None
    """The acknowledgements of the peer, for a `DurableOutbox`; None: there are none."""
    requests: Requests | None = None
    """The ids of requests and their answers, for ``client.request()``; None: it is refused."""
    subscriptions: Subscriptions | None = None
    """Declares the service's subscriptions; None: methods (`subscribe_frames`) make them, or there are none."""
    ghost_seconds: float = GHOST_SECONDS
    """Seconds for which the service may count a connection after its end, and refuse the next one for that."""
    snapshot: Snapshot | None = None
    """The messages with which a reader begins that comes late; None: none, it begins with the next message."""
    session_close_code: int = 1000
    """Code of the CLOSE of a host that hands its session over (`session_state`): one after which the peer keeps it."""
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
        """A text that is equal for two protocols if one connection can serve both: login and codec are the same.

        It is made from the class (by name) and the arguments of the constructor, by value; functions among them count
        by their names here, and are compared beside it (`opaque_arguments`). Override it (a property, or an attribute
        that the constructor sets) where those are not enough, or differ without effect; a text that names an account
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
        """Return the request of the next attempt, with the token added, or with a resume address."""
        if token is not None and self.token_place is not None:
            request = self.token_place.put(request, token)
        return request

    def opened(self, token: str | None, now: float) -> Iterable[Action]:
        """Begin the login on a newly opened connection, or be `Ready` at once."""
        del token, now
        return (Ready(),)

    @abc.abstractmethod
    def received(self, data: Data, now: float) -> Iterable[Action]:
        """Take one whole message. Raises `DecodeError`."""

    def wake(self, now: float) -> Iterable[Action]:
        """Act at the time named by `WakeAt`."""
        del now
        return ()

    def unread(self) -> None:
        """Note, before `wake`, that silence is no sign of a dead peer.

        A paused reader, or a large message on its way, may delay the awaited message.
        """

    def closing(self, code: int) -> None:
        """Note that this client closes the connection with `code`, which may end a session or keep it."""
        del code

    def lost(self, now: float) -> None:
        """Note that the connection is gone; the next call is `prepare`."""
        del now

    @abc.abstractmethod
    def encode(self, message: Any) -> Data:
        """Encode one message. Raises `EncodeError`."""

    def decoder(self) -> Callable[[Data], M_co] | None:
        """Return the function that decodes a frame, if every frame is one message once the login is complete.

        It may raise `NoMessage` for single frames. None: `received` is called for every frame.
        """
        return None

    def frame_decoder(self) -> Callable[[Data], Any] | None:
        """Return the function that decodes a frame of which a delivered message was made, for another process.

        As `decoder`, also where some frames are no messages; None: messages are not frames (see `pack`).
        """
        return self.decoder()

    def batch_decoder(self) -> Callable[[Data], list[M_co]] | None:
        """Return the function that decodes a frame to its messages, if it may hold several once the login is complete.

        It raises `DecodeError` if it can't decode all of them: then `received` is called, which returns an action for
        each. None: `decoder` or `received` decodes every frame.
        """
        return None

    def event_of(self, message: Any) -> str | None:
        """Return the event name that `subscribe("…")` and `on("…")` filter by; None if the message has none."""
        del message
        return None

    def closed(self, code: int, reason: str) -> OnesocketError:
        """Return the error for the peer's CLOSE; its `retryable` is the verdict."""
        return closed_by_peer(code, reason)

    @property
    def names_events(self) -> bool:
        """True if its messages have event names: `subscribe("…")` and `on("…")` are refused otherwise."""
        return implements(self, Protocol.event_of)

    # --- optional; see `implements` ---------------------------------------------------------------------------------

    def redact(self, data: Data, *, outgoing: bool) -> Data | None:
        """Return a message as a recording may show it, without secrets; None: it may not show it.

        Called for every message, and for those of the login. Without it, a login is left out as a whole, and the token
        is masked in all other messages.
        """
        raise NotImplementedError

    def successor(self) -> Protocol[M_co]:
        """Return the protocol of a second connection beside the present one, for a `Rotation`: another instance.

        Without it, as where a session allows no second connection, there are no rotations.
        """
        raise NotImplementedError

    # --- sharing: optional; see `implements` --------------------------------------------------------------------------

    def subscribe_frames(self, keys: Any) -> Iterable[Data]:
        """Frames that subscribe the connection to `keys` (a frozenset), for ``subscribe(keys=…)``.

        A protocol with this and `unsubscribe_frames` has its subscriptions merged: only differences are sent. The
        attribute `subscriptions` describes the same, and takes the place of these methods.
        """
        raise NotImplementedError

    def unsubscribe_frames(self, keys: Any) -> Iterable[Data]:
        """Frames that end the connection's subscriptions to `keys` (a frozenset)."""
        raise NotImplementedError

    def key_of(self, message: Any) -> Hashable:
        """The subscription key of a message, for the filter of ``subscribe(keys=…)``."""
        raise NotImplementedError

    def pack(self, message: Any) -> Data:
        """One message for another process of this machine, where messages are no frames (no `frame_decoder`)."""
        raise NotImplementedError

    def unpack(self, data: Data) -> M_co:
        """The message that was packed. Raises `DecodeError`."""
        raise NotImplementedError

    def session_state(self) -> bytes | None:
        """Return the state with which another host can resume the session behind all messages so far; b"": none.

        A protocol with this and `resume_session` has its session go with the lease of a cluster. Called for each batch
        of messages. The state goes through the engine, whose users could read and forge it: it must not hold the token,
        and what decides about the place to which the token goes must be authenticated. None: nothing is known yet of
        the state that `resume_session` brought.
        """
        raise NotImplementedError

    def resume_session(self, state: bytes, heard: Iterable[Any]) -> None:
        """Resume the session of another host with the next connection, if the state is valid.

        `heard`: messages that were delivered after those of the state; a replay that repeats them must not deliver them
        again. Called before the first connection.
        """
        raise NotImplementedError

    def space_logins(self, reserve: ReserveSlot) -> None:
        """Keep logins apart from those of other hosts, where the service counts them together.

        Called before the first connection of a host in a cluster. A slot that is reserved just before a login serves
        best: an unused one stays reserved. No secret may be in its name, which goes to the engine.
        """
        raise NotImplementedError


def implements(protocol: Protocol[Any], *methods: Callable[..., Any]) -> bool:
    """Check whether the class of `protocol` overrides optional methods: ``implements(protocol, Protocol.pack)``."""
    return all(getattr(type(protocol), method.__name__) is not method for method in methods)
