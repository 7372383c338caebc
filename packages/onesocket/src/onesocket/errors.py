"""Every error that onesocket raises: one base and four branches.

`UsageError`: the call can't work as it was made. `PeerError`: the peer broke the rules, or refused.
`ConnectionFailure`: the connection was lost, or never opened. `Abandoned`: the library stopped on purpose.
Each error has `retryable` and `retry_after`; docs/errors.md draws the tree, and lists what helps.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any, Final, Self, TypeVar

from ._printable import printable

E = TypeVar("E", bound="OnesocketError")
_MAX_DATA: Final = 65_536
_MAX_SHOWN: Final = 5


def _rebuild(kind: type[E], args: tuple[Any, ...], state: dict[str, Any]) -> E:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class OnesocketError(Exception):
    """Base of everything that onesocket raises.

    `retryable`: whether the same call can succeed later without any change on this side.
    `retry_after`: least number of seconds to wait, where the peer named one; else None.
    """

    retryable: bool = False
    retry_after: float | None = None
    is_unwrapped: bool = False
    """Set by the library's own token sources: the attempt ends with this error instead of `TokenFailed`."""
    refuses_token: bool = False
    """True if the peer refused the token: where a source gives tokens, one more is tried for a lost connection."""
    backs_off: bool = True
    """True if the next attempt after a lost connection also waits for the back-off; False: only for `retry_after`."""

    def __str__(self) -> str:
        """Return the text on one line: a peer may have written a part of it, so all control characters are escaped."""
        return printable(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by state: constructors have keywords that `args` doesn't hold."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))

    def copy(self) -> Self:
        """Return an equal instance: each caller that joined an attempt raises its own.

        One exception object raised in a thousand tasks would collect a thousand tracebacks.
        """
        duplicate = _rebuild(type(self), self.args, self.__dict__)
        duplicate.__cause__ = self.__cause__
        duplicate.__suppress_context__ = True
        return duplicate


# --- usage errors -----------------------------------------------------------------------------------------------------


class UsageError(OnesocketError):
    """Base of the errors of a call that can't work as it was made; the text names the remedy."""


class InvalidURL(UsageError, ValueError):
    """The text is no URL of a WebSocket."""


class InvalidOption(UsageError, ValueError):
    """An argument is out of range or contradicts another."""


class InvalidRecording(UsageError, ValueError):
    """The file is no recording of a flight recorder, or one that this release can't read."""


class BookUnknown(UsageError, LookupError):
    """A `Book` was read while it has no snapshot, updates are missing, or its checksum is wrong."""

    retryable = True


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
    """A lost connection is not resumed, as the provider's auth callback returned None: no user is signed in."""


class URLFailed(UsageError):
    """The function that was given as `url` raised; what it returned can't be the cause: that is `InvalidURL`.

    The function's own exception is the `__cause__`; its text is not repeated, since it may hold a secret.
    """

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.retryable = retryable


class MissingExtra(UsageError, ImportError):
    """An optional dependency is not installed; the text holds the install command."""


class WrongEventLoop(UsageError, RuntimeError):
    """The client belongs to one event loop and was used from another, or from none."""


class ForkedCopy(UsageError, RuntimeError):
    """The object was made or used before a fork and belongs to the parent process; the child makes or joins its own."""

    def __init__(
        self, text: str = "this was made before the fork and belongs to the parent process; join again in this one"
    ) -> None:
        super().__init__(text)


class ManuallyDisconnected(UsageError):
    """`disconnect()` was called; only `reconnect()` lifts that."""

    def __init__(self, text: str = "disconnect() was called on this client; call reconnect() to lift it") -> None:
        super().__init__(text)


class ClientClosed(UsageError):
    """`aclose()` was called, which is final; make a new client."""

    def __init__(self, text: str = "aclose() was called on this client, which is final; make a new one") -> None:
        super().__init__(text)


class NoCurrentProvider(UsageError, LookupError):
    """`current_provider()` was called outside `use(provider)`."""


class OptionConflict(InvalidOption):
    """The key is shared already, in this process or another one, with another value of `option`."""

    def __init__(self, text: str, *, option: str) -> None:
        super().__init__(text)
        self.option = option


class TokenMismatch(InvalidOption):
    """Another process shares this key with another token."""


class NoRuntimeDirectory(UsageError):
    """No directory belongs to this user alone, so nothing can be shared safely between processes."""


class HandOverRefused(UsageError):
    """The process that holds a shared connection can't hand over: no other process may hold it, or none took it."""


class EngineUnusable(UsageError):
    """The engine of a cluster (Redis, NATS) can't serve as it is set up; the text names the remedy."""


class EngineLoginRefused(EngineUnusable):
    """The engine of a cluster refused user name, password or certificate."""


class EngineCommandDenied(EngineUnusable):
    """The engine's access rules don't let this user run `command`, or not on the keys of the cluster."""

    def __init__(self, text: str, *, command: str) -> None:
        super().__init__(text)
        self.command = command


class EngineKeyTaken(EngineUnusable):
    """The name of a cluster's `key` in the engine is used for something else; nothing there was changed."""

    def __init__(self, text: str, *, key: str) -> None:
        super().__init__(text)
        self.key = key


class HubRunning(UsageError):
    """Another process of this machine, `pid`, serves a hub for this connection already."""

    def __init__(self, text: str, *, pid: int) -> None:
        super().__init__(text)
        self.pid = pid


class CannotListen(UsageError):
    """The hub's port is taken, or the path of its Unix socket can't be used."""


class OutboxUnusable(UsageError):
    """The file of a `DurableOutbox` can't be used; the text names the path and the remedy. No message was changed."""


class OutboxInUse(OutboxUnusable):
    """Another client, of this process or another one, has the file of the `DurableOutbox` open."""


class DuplicateMessage(UsageError):
    """A message with the same id is in the `DurableOutbox` already, and waits for its acknowledgement."""


# --- errors of the peer -----------------------------------------------------------------------------------------------


class PeerError(OnesocketError):
    """Base of the errors of a peer that broke the rules, or refused."""


class HandshakeRejected(PeerError):
    """The server answered the upgrade request with an HTTP `status` instead of 101.

    `location`: the target of a redirect, as the server wrote it; it may hold a secret. None: no redirect.
    """

    location: str | None = None

    def __init__(self, text: str, *, status: int, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after
        self.refuses_token = status in (401, 403)


class InvalidHandshake(PeerError):
    """The response is no WebSocket upgrade: another protocol, a malformed header, a wrong key."""


class ProtocolViolation(PeerError):
    """The peer sent frames that RFC 6455 forbids; `code` is the close code that it was sent."""

    retryable = True
    code = 1002


class InvalidText(ProtocolViolation):
    """The peer sent a text message or close reason that is not UTF-8 (RFC 6455, section 8.1)."""

    code = 1007


class MessageTooBig(ProtocolViolation):
    """A message of the peer, its fragments together, is larger than `max_size` bytes."""

    code = 1009


class DecodeError(PeerError):
    """The protocol can't decode a message of the peer (malformed JSON or MessagePack)."""

    retryable = True
    data: str | bytes | None = None
    """The message itself, or the first 65 536 characters or bytes of a longer one. It may hold secrets, so it is in no
    text of the error; None: it isn't known."""

    def with_data(self, data: str | bytes) -> Self:
        """Keep the message that can't be decoded, unless one is kept already; returns the error."""
        if self.data is None:
            self.data = data[:_MAX_DATA]
        return self


class RequestRefused(PeerError):
    """The peer refused a request: its `answer` is an error, by `refused` of the protocol's `Requests`."""

    answer: Any = None

    def __init__(self, text: str, *, answer: Any = None) -> None:
        super().__init__(text)
        self.answer = answer


class LoginRefused(PeerError):
    """The connection opened, but the protocol's own login was refused."""

    refuses_token = True

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.retryable = retryable
        self.refuses_token = not retryable


def _checked_seconds(value: object) -> float | None:
    """`retry_after` of an error that a program makes, of what its service says; a date that is past means now."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        raise InvalidOption(f"retry_after must be a number of seconds or None, not {value!r}")
    return max(0.0, value)


class SubscriptionRefused(PeerError):
    """Keys of a subscription were refused, by the server or for its limit: the reader gets no messages of them.

    `keys` names them, `reason` is the server's. The subscription goes on with its other keys.
    """

    keys: tuple[Hashable, ...] = ()
    reason: str = ""

    def __init__(self, text: str, *, keys: Iterable[Hashable] = (), reason: str = "", retryable: bool = False) -> None:
        super().__init__(text)
        self.keys = tuple(keys)
        self.reason = reason
        self.retryable = retryable

    @classmethod
    def of(cls, keys: Iterable[Hashable], reason: str, *, retryable: bool = False) -> SubscriptionRefused:
        """The error for these keys; `retryable`: the same call may be accepted later."""
        keys = tuple(keys)
        shown = ", ".join(map(repr, keys[:_MAX_SHOWN])) + (" and more" if len(keys) > _MAX_SHOWN else "")
        text = f"{len(keys)} keys were refused: {shown}" if len(keys) > 1 else f"the key {shown} was refused"
        return cls(f"{text} ({reason})" if reason else text, keys=keys, reason=reason, retryable=retryable)


class PoolFull(SubscriptionRefused):
    """Keys of a `Pool` have no room: its connections are full, and it opens no more; raised as `SubscriptionRefused`.

    The text names the bound that is met, `max_connections` or the service's own, and the remedy.
    """

    retryable = True


class ServerBusy(PeerError):
    """The server takes no connection now: connection limit, a ghost of the last connection, too many requests.

    `code` and `reason` are those of its CLOSE, `status` that of its HTTP answer; None, or empty: there was none.
    """

    retryable = True
    is_connection_limit: bool = False
    """True if its words speak of a limit on connections, so that a connection of ours may still count there."""

    def __init__(
        self,
        text: str,
        *,
        retry_after: float | None = None,
        code: int | None = None,
        reason: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(text)
        self.retry_after = _checked_seconds(retry_after)
        self.code = code
        self.reason = reason
        self.status = status


class EngineFull(PeerError):
    """The engine of a cluster has no memory or disk left for a record: it was not written, and nothing is lost."""

    retryable = True


class VersionMismatch(PeerError):
    """The holder of the shared connection, or the members of its cluster, run a release with another protocol."""

    def __init__(self, text: str, *, ours: int, theirs: int) -> None:
        super().__init__(text)
        self.ours = ours
        self.theirs = theirs


class ForeignUser(PeerError):
    """The process at the other end of the Unix socket belongs to another user."""


class IpcError(PeerError):
    """Another process of this connection sent an IPC frame that no release of onesocket sends."""

    retryable = True


# --- failures of the connection ---------------------------------------------------------------------------------------


class ConnectionFailure(OnesocketError):
    """Base of the errors of a connection that was lost, or never opened."""

    retryable = True


class ConnectFailed(ConnectionFailure):
    """The attempt ended before the WebSocket was open."""


class NameResolutionFailed(ConnectFailed):
    """The host name has no address, or the resolver can't be reached."""


class ConnectionRefused(ConnectFailed):
    """The host was found, but no TCP connection could be made to its port; or none to the Unix socket."""


class ProxyFailed(ConnectFailed):
    """The proxy could not be reached, or refused to connect to the server.

    `status`: the HTTP status that an HTTP proxy answered with; else None.
    """

    status: int | None = None

    def __init__(
        self, text: str, *, retryable: bool = True, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class TLSFailed(ConnectFailed):
    """The TLS handshake failed; a port without TLS is the usual reason."""

    retryable = False


class CertificateInvalid(TLSFailed):
    """The server's certificate can't be trusted for this host name."""


class OpenTimeout(ConnectFailed, TimeoutError):
    """The attempt was not ready within `open_timeout`; the text names the step that it waited for."""


class ClosedByPeer(ConnectionFailure):
    """The peer closed the connection with `code` and `reason` (RFC 6455, section 7.4).

    `reason` is the peer's text as it came, control characters included; the text of the error shows them escaped.
    """

    retryable_once_established: bool = False
    """Final for a first connection only: one that was up before is resumed slowly (code 1008)."""

    def __init__(self, text: str, *, code: int, reason: str, retryable: bool) -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason
        self.retryable = retryable


class ConnectionReset(ConnectionFailure):
    """The connection ended without a CLOSE frame."""


class PingTimeout(ConnectionFailure):
    """The connection is open, but no byte arrived within `ping_interval` + `ping_timeout`."""


class SilenceTimeout(ConnectionFailure):
    """The connection is open, but no message (or none that `silence_of` names) arrived for `silence_timeout`."""


class DeliveryUnknown(ConnectionFailure):
    """The connection was lost while this message was written: it may or may not have arrived.

    Not retryable by itself: only the sender knows whether a duplicate does harm.
    """

    retryable = False


class RequestLost(ConnectionFailure):
    """The connection was lost before the answer to a request came: it may or may not have been carried out.

    Not retryable by itself: only the caller knows whether asking again does harm.
    """

    retryable = False


class OutOfResources(ConnectFailed):
    """A process of this connection has no file descriptor, thread, memory or room on the disk left for it."""


class OwnerSilent(ConnectFailed):
    """The process that holds the shared connection doesn't answer: stopped, or far too busy."""

    @classmethod
    def of(cls, pid: int) -> OwnerSilent:
        """The error that names this process; 0: it isn't known."""
        who = f" (pid {pid})" if pid else ""
        return cls(f"the process that holds the connection{who} does not answer: it is stopped, or far too busy")


class NoOwner(ConnectFailed):
    """No process that may hold the shared connection is running; this one joined with ``own="never"``."""

    def __init__(
        self,
        text: str = 'no process that may hold the connection is running, and this one has own="never": start one that '
        "may, for example: onesocket share --scope host",
    ) -> None:
        super().__init__(text)


class EngineUnavailable(ConnectFailed):
    """The engine of a cluster can't be reached, doesn't answer, or is changing its master."""


class Fenced(ConnectionFailure):
    """The engine of a cluster refused a record of `epoch`, which leads no more.

    `newer`: the epoch that leads, if one does.
    """

    def __init__(self, text: str, *, epoch: int, newer: int | None = None) -> None:
        super().__init__(text)
        self.epoch = epoch
        self.newer = newer


class OwnerLost(ConnectionFailure):
    """The process that held the shared connection is gone, or let go of it; another takes over."""


# --- abandoned --------------------------------------------------------------------------------------------------------


class Abandoned(OnesocketError):
    """Base of the errors of work that the library stopped on purpose; the text says why."""


class ConnectAborted(Abandoned):
    """`disconnect()` was called while this `connect()` was waiting."""


class RetriesExhausted(Abandoned):
    """Reconnecting stopped at `max_attempts`; the last failure is the `__cause__`."""


class OutboxFull(Abandoned):
    """The outbox is at its limit; this message was not accepted."""

    retryable = True


class MailboxFull(Abandoned):
    """The leader of a cluster has not taken what waits for it: this message was not submitted."""

    retryable = True


class MessageExpired(Abandoned):
    """The message waited in the outbox longer than `max_age` and was not sent."""


class MessageNotStored(Abandoned):
    """The `DurableOutbox` could not write to its file: this message was not accepted, and is not sent."""

    retryable = True


class MessageKept(Abandoned):
    """The client was closed or disconnected before the message was settled: it is kept in the `DurableOutbox`.

    The next connection with that file sends it; it may have been sent before.
    """


class SlowConsumer(Abandoned):
    """This subscriber fell behind by more than its limit, and its overflow rule is `fail`."""


class WaitTimeout(Abandoned, TimeoutError):
    """`wait_for()` did not see the state within its timeout."""

    retryable = True


class RequestTimeout(Abandoned, TimeoutError):
    """No answer to a request came within its timeout.

    `was_sent`: False if the request still waited for the connection, and is not sent any more; True if it may have been
    carried out, and its answer, if it comes, is dropped. Only the first is retryable by itself.
    """

    def __init__(self, text: str, *, was_sent: bool = True) -> None:
        super().__init__(text)
        self.was_sent = was_sent
        self.retryable = not was_sent


class AuthTimeout(Abandoned, TimeoutError):
    """A provider's auth callback gave no answer within `auth_timeout`."""

    retryable = True
