"""Everything that onesocket raises.

One base, four branches; each says whether trying again can help (`retryable`) and, where the other side named a
date, after how many seconds (`retry_after`)::

    OnesocketError
    ├── UsageError                you misused it
    │   ├── InvalidURL            (also a ValueError)
    │   ├── InvalidOption         (also a ValueError)
    │   ├── EncodeError           (also a ValueError) a message that the protocol can't put on the wire
    │   ├── TokenFailed           the token source raised, or gave something that is no token
    │   │   └── SessionExpired    a lost line was to be resumed, but nobody is signed in any more
    │   ├── MissingExtra          an optional dependency isn't installed
    │   ├── WrongEventLoop        the client belongs to another event loop
    │   ├── ForkedCopy            it belongs to the parent process of this one
    │   ├── ManuallyDisconnected  disconnect() holds until reconnect()
    │   ├── ClientClosed          aclose() was called, which is final
    │   └── NoCurrentProvider     (also a LookupError)
    ├── PeerError                 the peer misbehaved, or said no
    │   ├── HandshakeRejected        an HTTP status instead of 101
    │   ├── InvalidHandshake        what came back is not a WebSocket upgrade
    │   ├── ProtocolViolation     frames that RFC 6455 forbids
    │   │   ├── InvalidText       text that is not UTF-8
    │   │   └── MessageTooBig     a message over max_size
    │   ├── DecodeError           a message that the protocol can't read
    │   ├── LoginRefused          the protocol's own login failed
    │   └── ServerBusy          "limit exceeded": somebody else holds our one place
    ├── ConnectionFailure                  the line was lost, or never came to be
    │   ├── ConnectFailed
    │   │   ├── NameResolutionFailed
    │   │   ├── ConnectionRefused
    │   │   ├── ProxyFailed
    │   │   ├── TLSFailed
    │   │   │   └── CertificateInvalid
    │   │   └── OpenTimeout
    │   ├── ClosedByPeer          a CLOSE frame with its code and reason
    │   ├── ConnectionReset        the line ended without a CLOSE frame
    │   ├── PingTimeout            open, but nobody answers
    │   └── DeliveryUnknown       the line broke while this message was on its way
    └── Abandoned                    we stopped, on purpose
        ├── ConnectAborted        disconnect() came while connect() waited
        ├── RetriesExhausted      reconnecting hit its limit
        ├── OutboxFull
        ├── MessageExpired
        ├── SlowConsumer
        ├── WaitTimeout           (also a TimeoutError) wait_for() saw its deadline
        └── AuthTimeout           (also a TimeoutError) a provider's auth callback gave no answer
"""

from __future__ import annotations

from typing import Any, Self, TypeVar

E = TypeVar("E", bound="OnesocketError")


def _rebuild(kind: type[E], args: tuple[Any, ...], state: dict[str, Any]) -> E:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class OnesocketError(Exception):
    """Base of everything that onesocket raises.

    `retryable` tells whether the same call can succeed later without anything being changed by you.
    `retry_after` is the least number of seconds to wait, where the other side named one.
    """

    retryable: bool = False
    retry_after: float | None = None
    is_unwrapped: bool = False
    """Set by a token source of our own: the attempt ends with this error, and not with `TokenFailed`."""
    backs_off: bool = True
    """Whether a lost connection's next attempt waits out the back-off as well; False: `retry_after` is all."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled by its state: constructors take keywords that `args` doesn't hold."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))

    def copy(self) -> Self:
        """A fresh instance that says the same: every caller of a joined attempt raises its own.

        One exception object raised in a thousand tasks would collect a thousand tracebacks.
        """
        twin = _rebuild(type(self), self.args, self.__dict__)
        twin.__cause__ = self.__cause__
        twin.__suppress_context__ = True
        return twin


# --- you misused it -------------------------------------------------------------------------------------------------


class UsageError(OnesocketError):
    """The call can't work as it was made; its text names the remedy."""


class InvalidURL(UsageError, ValueError):
    """Not a URL that a WebSocket can be opened to."""


class InvalidOption(UsageError, ValueError):
    """An argument is out of range or contradicts another."""


class EncodeError(UsageError, ValueError):
    """The protocol can't put this message on the wire."""


class TokenFailed(UsageError):
    """The token source raised, or returned something that is not a token.

    The source's own exception is the `__cause__`; its text is not repeated, since it may hold a secret.
    """

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.retryable = retryable


class SessionExpired(TokenFailed):
    """A provider's auth callback said that nobody is signed in any more, so the line is not resumed."""


class MissingExtra(UsageError, ImportError):
    """An optional dependency is not installed; the text holds the install command."""


class WrongEventLoop(UsageError, RuntimeError):
    """The client belongs to one event loop and was used from another (or from none)."""


class ForkedCopy(UsageError, RuntimeError):
    """The object was made or used before a fork and belongs to the parent process; the child makes or joins its own."""

    def __init__(
        self, text: str = "this was made before the fork and belongs to the parent process; join again in this one"
    ) -> None:
        super().__init__(text)


class ManuallyDisconnected(UsageError):
    """The owner called `disconnect()`; only `reconnect()` lifts that."""

    def __init__(self, text: str = "disconnect() was called on this client; call reconnect() to lift it") -> None:
        super().__init__(text)


class ClientClosed(UsageError):
    """`aclose()` was called, which is final; make a new client."""

    def __init__(self, text: str = "aclose() was called on this client, which is final; make a new one") -> None:
        super().__init__(text)


class NoCurrentProvider(UsageError, LookupError):
    """`current_provider()` was called outside `use(provider)`."""


# --- the peer misbehaved --------------------------------------------------------------------------------------------


class PeerError(OnesocketError):
    """The other side answered, but not as it should, or it said no."""


class HandshakeRejected(PeerError):
    """The server answered the upgrade request with an HTTP `status` instead of 101."""

    def __init__(self, text: str, *, status: int, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class InvalidHandshake(PeerError):
    """What came back is not a WebSocket upgrade: another protocol, a broken header, a wrong key."""


class ProtocolViolation(PeerError):
    """The peer sent frames that RFC 6455 forbids; `code` is the close code it was told."""

    retryable = True
    code = 1002


class InvalidText(ProtocolViolation):
    """A text message or close reason that is not UTF-8 (RFC 6455, section 8.1)."""

    code = 1007


class MessageTooBig(ProtocolViolation):
    """A message, all its fragments together, is larger than `max_size` bytes."""

    code = 1009


class DecodeError(PeerError):
    """A message that the protocol can't read (broken JSON, broken msgpack)."""

    retryable = True


class LoginRefused(PeerError):
    """The socket opened, but the protocol's own login was refused."""

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.retryable = retryable


class ServerBusy(PeerError):
    """The service has no place for us now (limit exceeded, a ghost of our last connection, too many requests)."""

    retryable = True

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


# --- the line was lost ----------------------------------------------------------------------------------------------


class ConnectionFailure(OnesocketError):
    """The line ended, or never came to be."""

    retryable = True


class ConnectFailed(ConnectionFailure):
    """The attempt ended before there was a WebSocket."""


class NameResolutionFailed(ConnectFailed):
    """The host name has no address (or the resolver can't be reached)."""


class ConnectionRefused(ConnectFailed):
    """The host was found, but no TCP connection could be made to its port."""


class ProxyFailed(ConnectFailed):
    """The proxy could not be reached, or would not pass us on."""


class TLSFailed(ConnectFailed):
    """The TLS handshake failed; talking TLS to a plain port is the usual reason."""

    retryable = False


class CertificateInvalid(TLSFailed):
    """The server's certificate is not one that we can trust for this name."""


class OpenTimeout(ConnectFailed, TimeoutError):
    """The attempt was not ready within `open_timeout`; the text says what it was waiting for."""


class ClosedByPeer(ConnectionFailure):
    """The peer closed the line with `code` and `reason` (RFC 6455, section 7.4)."""

    retryable_once_established: bool = False
    """Final for a first connection only: one that was up before is resumed all the same, slowly (code 1008)."""

    def __init__(self, text: str, *, code: int, reason: str, retryable: bool) -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason
        self.retryable = retryable


class ConnectionReset(ConnectionFailure):
    """The line ended without a CLOSE frame."""


class PingTimeout(ConnectionFailure):
    """The line is open, but nothing came back within `ping_interval` + `ping_timeout`."""


class DeliveryUnknown(ConnectionFailure):
    """The line broke while this message was being written: it may or may not have arrived.

    Not retryable by itself: only the sender knows whether sending it twice does harm.
    """

    retryable = False


# --- gave up --------------------------------------------------------------------------------------------------------


class Abandoned(OnesocketError):
    """We stopped on purpose, and say why."""


class ConnectAborted(Abandoned):
    """The owner called `disconnect()` while this `connect()` was waiting."""


class RetriesExhausted(Abandoned):
    """Reconnecting stopped at `max_attempts`; the last failure is the `__cause__`."""


class OutboxFull(Abandoned):
    """The outbox holds as many messages as it may; this one was not accepted."""

    retryable = True


class MessageExpired(Abandoned):
    """The message waited in the outbox longer than `max_age` and was not sent."""


class SlowConsumer(Abandoned):
    """This subscriber fell behind further than its limit, and its overflow rule is `fail`."""


class WaitTimeout(Abandoned, TimeoutError):
    """`wait_for()` did not see the state within its time-out."""

    retryable = True


class AuthTimeout(Abandoned, TimeoutError):
    """A provider's auth callback gave no answer within `auth_timeout`."""

    retryable = True
