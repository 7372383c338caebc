"""One client for the identity that is signed in: built lazily, shared by all callers, held closed after a logout."""

from __future__ import annotations

import asyncio
import enum
import functools
from typing import Any, Generic, NoReturn, Required, Self, TypedDict, Unpack, overload

from ..client._affinity import Affinity, is_collected
from ..client._client import Client
from ..client._identity_token import Superseded
from ..client._options import check_seconds
from ..client._pickling import not_picklable
from ..client._status import Change
from ..client._token_source import takes_refusal
from ..client._user_code import mark_unwrapped
from ..errors import (
    ClientClosed,
    ConnectAborted,
    InvalidOption,
    ManuallyDisconnected,
    OnesocketError,
    SessionExpired,
)
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..notices import ConnectionNotices, LogSink, Notices, NoticeSink
from ..wire._handshake import Data
from ._auth_query import AuthQuery
from ._identity import Auth, Identity, as_identity
from ._identity_connection import C, ConnectionStage, IdentityClientFactory, IdentityConnection, as_client_factory
from ._retired_connections import RetiredConnections
from ._single_flight import ConnectFlight, FlightStage
from ._status import ProviderStatus

# Seconds that aclose() waits for an auth callback that refuses to be cancelled.
_GRACE = 1.0
_LOGGED_OUT = "logout() was called while this call was waiting"


class _Access(enum.Enum):
    """Permission of calls to connect."""

    OPEN = "open"
    HELD = "held"
    """`logout()` was called, and no `login()` since."""
    CLOSED = "closed"
    """`aclose()` was called."""


class ProviderOptions(TypedDict, total=False):
    """The options of `Provider`."""

    auth: Required[Auth]
    notices: Notices | NoticeSink | None
    auth_timeout: float
    service: str


class Provider(Generic[C]):
    """Provides all components of a program with the one client of the signed-in identity.

    Any number of components may call every method at any time. There are never two connections, and after `logout()`
    only `login()` opens one. A provider belongs to the event loop that first uses it. ``async with`` closes it at the
    end; it does not connect.

    Parameters:
        make_client: A URL, or a function that builds a new `Client` each time: it is given the token source, as in
            ``lambda token: Client(url, token=token, protocol=Json())``. Called once for each identity. With
            ``lambda token: onesocket.join(url, token=token)`` it shares the connection with all joins of that identity.
        auth: A function or coroutine function that returns the signed-in identity: an `Identity`, or a str (a token
            that is its own identity, so a renewed token is another identity), or None if no user is signed in. Called
            anew for each attempt; it must not block.
        notices: Destination of notices: a board or one sink (default: the log).
        auth_timeout: Seconds that `auth` may take.
        service: Name of the server in notices.

    Another identity than that of the connection closes the old client for good (its subscriptions end) before a new
    one is built; read `provider.client` again then. If a lost connection is to be resumed and `auth` returns None, it
    is not resumed: the client is FAILED with `SessionExpired`, until a user is signed in and a call connects.

    A shared connection is left where an own one would be disconnected: by `logout()`, and when `auth` returns None.
    Other members keep it; the last one to leave closes it.
    """

    @overload
    def __init__(self, make_client: IdentityClientFactory[C], **options: Unpack[ProviderOptions]) -> None: ...
    @overload
    def __init__(self: Provider[Client[Data]], make_client: str, **options: Unpack[ProviderOptions]) -> None: ...
    def __init__(
        self,
        make_client: str | IdentityClientFactory[C],
        *,
        auth: Auth,
        notices: Notices | NoticeSink | None = None,
        auth_timeout: float = 10.0,
        service: str = "the server",
    ) -> None:
        self._make_client: IdentityClientFactory[Any] = as_client_factory(make_client)
        if not callable(auth):
            raise InvalidOption(f"auth must be a function, not {type(auth).__name__}")
        takes_refusal(auth)
        self.service = service
        if not isinstance(notices, Notices):
            notices = Notices(notices if notices is not None else LogSink())
        self.notices = notices
        self._connection_notices = ConnectionNotices(notices, service, lambda: self._secrets)
        self._auth_query = AuthQuery(
            auth, check_seconds("auth_timeout", auth_timeout), self._connection_notices, self._track
        )
        self._secrets: tuple[str, ...] = ()
        self._affinity = Affinity("provider")
        self._access = _Access.OPEN
        self._flight: ConnectFlight | None = None
        self._connection: IdentityConnection[C] | None = None
        self._retired: RetiredConnections[C] = RetiredConnections()
        self._tasks: set[asyncio.Task[Any]] = set()

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a provider can't be pickled or copied."""
        raise not_picklable(self)

    def __repr__(self) -> str:
        access = "" if self._access is _Access.OPEN else f" {self._access.value}"
        return f"<Provider {self.service!r}{access} callers={self._callers} client={self.client!r}>"

    @property
    def client(self) -> C | None:
        """The one client; None before it is built. Another one after a change of identity."""
        return self._connection.client if self._connection is not None else None

    @property
    def status(self) -> ProviderStatus:
        """A frozen snapshot of this moment."""
        return ProviderStatus(
            service=self.service,
            is_held=self._is_held(),
            is_closed=self._access is _Access.CLOSED,
            is_connecting=self._in_flight() is not None,
            callers=self._callers,
            client=self.client.status if self.client is not None else None,
            notices=self.notices.active,
        )

    # --- public methods -----------------------------------------------------------------------------------------------

    async def connect_if_authenticated(self) -> Outcome:
        """Connect if a user is signed in: start an attempt, join one, or find the connection up.

        Returns `NOT_AUTHENTICATED` if `auth` returns None (no attempt is made, and one to resume a lost connection is
        abandoned), else `OPENED`, `JOINED` or `ALREADY_CONNECTED`. While the connection is up, `auth` is not called.

        Raises `TokenFailed` or `AuthTimeout` if `auth` fails, what `Client.connect()` raises, `ManuallyDisconnected`
        after `logout()`, `ConnectAborted` if `logout()` comes meanwhile, `ClientClosed` after `aclose()`: the same for
        all callers that joined. Ends within `auth_timeout` and the client's own deadlines. Cancelling one call doesn't
        affect the others; with the last one the attempt is closed.
        """
        while True:
            self._check_usable()
            if self._is_held():
                raise ManuallyDisconnected("logout() was called on this provider; call login() to lift it")
            flight, starts = self._in_flight(), False
            if flight is None:
                if self._connection is not None and self._connection.client.state is State.CONNECTED:
                    return Outcome.ALREADY_CONNECTED
                flight, starts = self._start_flight(None), True
            try:
                return _outcome_of_caller(await flight.join(), starts=starts)
            except Superseded:
                # A login() took its place: this call joins that one.
                if self._is_held():
                    raise ConnectAborted(_LOGGED_OUT) from None

    async def login(self, identity: Identity | str | None = None) -> Outcome:
        """Lift a `logout()` and connect for `identity`, or for the identity that `auth` (called anew) returns.

        A connection of another identity is closed first. Returns and raises what `connect_if_authenticated()` does. The
        newest login wins: an earlier one for another identity gets `ConnectAborted`. `auth` has to agree with
        `identity` from then on, as later attempts call it.
        """
        self._check_usable()
        wanted = as_identity(identity)
        self._access = _Access.OPEN
        flight, starts = self._in_flight(), False
        if flight is None or not flight.serves(wanted):
            self._auth_query.invalidate()
            flight, starts = self._start_flight(wanted, by_login=True), True
        while True:
            try:
                return _outcome_of_caller(await flight.join(), starts=starts)
            except Superseded:
                self._check_usable()
                later = self._in_flight()
                if later is None or later.identity != wanted:
                    raise ConnectAborted("a later login() took the place of this one") from None
                flight, starts = later, False

    async def logout(self) -> None:
        """Close the connection with the close handshake and hold it closed: only `login()` lifts that.

        Waiting calls get `ConnectAborted` at once. Returns when the connection is closed: within the client's
        `close_timeout`, plus the rest of `open_timeout` while the response to an upgrade is awaited.
        """
        self._check_loop()
        if self._access is not _Access.CLOSED:
            self._access = _Access.HELD
            self._abandon(ConnectAborted(_LOGGED_OUT))
        if self._connection is not None:
            await self._disconnect_or_leave(self._connection)
        await self._retired.wait_closed()

    async def aclose(self) -> None:
        """Close the connection for good; no task of the provider is left on the loop. Idempotent."""
        self._check_loop()
        self._access = _Access.CLOSED
        self._abandon(ClientClosed("aclose() was called while this call was waiting"))
        if self._connection is not None:
            await self._connection.client.aclose()
        # The auth callback may be the one that closes the provider: it must not wait for itself.
        tasks = self._tasks - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE)
        await self._retired.wait_done()

    async def __aenter__(self) -> Self:
        """Return the provider; nothing is connected yet."""
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        """Close the provider for good."""
        if not is_collected(kind, self._affinity.loop):
            await self.aclose()

    # --- flights: from the auth callback to the open connection -------------------------------------------------------

    def _is_held(self) -> bool:
        return self._access is _Access.HELD

    def _check_loop(self) -> None:
        self._affinity.check()

    def _check_usable(self) -> None:
        self._check_loop()
        if self._access is _Access.CLOSED:
            raise ClientClosed("aclose() was called on this provider, which is final; make a new one")

    @property
    def _callers(self) -> int:
        flight = self._in_flight()
        return flight.callers if flight is not None else 0

    def _in_flight(self) -> ConnectFlight | None:
        return self._flight if self._flight is not None and not self._flight.is_over else None

    def _start_flight(
        self, identity: Identity | None, *, by_login: bool = False, detached: bool = False
    ) -> ConnectFlight:
        old = self._in_flight()
        if old is not None:
            old.is_superseded = True
            # If it dials for the same identity, the new flight joins its attempt; else it closes it.
            if old.stage is not FlightStage.DIALLING:
                old.abort(Superseded())
        self._flight = ConnectFlight(self._run_flight, identity, by_login=by_login, detached=detached)
        self._track(self._flight.task)
        return self._flight

    async def _run_flight(self, flight: ConnectFlight) -> Outcome:
        flight.stage = FlightStage.AUTHENTICATING
        identity = flight.identity
        if identity is None:
            identity = await self._auth_query.ask(*self._refused())
        if identity is None:
            await self._close_signed_out()
            return Outcome.NOT_AUTHENTICATED
        self._connection_notices.auth_answered(signed_in=True)
        self._secrets = (identity.token,)
        current = self._connection
        if current is not None and (current.key != identity.key or current.client.state is State.CLOSED):
            self._retire(current)
        await self._retired.wait_closed()
        if self._connection is None:
            self._connection = self._build(identity)
        return await self._dial(flight, self._connection, identity.token)

    def _refused(self) -> tuple[str | None, OnesocketError | None]:
        """Return the token whose refusal has ended the connection, and the refusal; None each if none has."""
        client = None if self._connection is None else self._connection.client
        error = client.status.last_error if client is not None and client.state is State.FAILED else None
        return (self._secrets[-1], error) if error is not None and error.refuses_token else (None, None)

    async def _dial(self, flight: ConnectFlight, connection: IdentityConnection[C], token: str) -> Outcome:
        flight.stage = FlightStage.DIALLING
        connection.next_token = token
        try:
            try:
                outcome = await connection.client.connect()
            except ManuallyDisconnected:
                # A disconnect() that a component called on the client itself is lifted only by a login().
                if connection.stage is not ConnectionStage.STOPPED and not flight.by_login:
                    raise
                outcome = await connection.client.reconnect()
            connection.stage = ConnectionStage.UP
        except asyncio.CancelledError:
            if (
                flight.is_over
                and connection.is_shared
                and connection is self._connection
                and connection.stage is not ConnectionStage.UP
            ):
                self._retire(connection)  # no caller is left, and it must not connect with the other members
            raise
        except SessionExpired:
            return Outcome.NOT_AUTHENTICATED
        except (ClientClosed, ConnectAborted) as error:
            if flight.is_superseded or connection.stage is ConnectionStage.LEFT:
                raise Superseded from error
            raise
        finally:
            connection.next_token = None
        return outcome

    async def _close_signed_out(self) -> None:
        """Close a connection that is up, or being opened, as no user is signed in."""
        connection = self._connection
        resting = (State.DISCONNECTED, State.FAILED, State.STOPPED, State.CLOSED)
        if connection is None:
            return
        is_resting = connection.client.state in resting
        if not is_resting:
            self._connection_notices.session_expired()
        if connection.is_shared or not is_resting:  # a shared one may be opened again by others
            await self._disconnect_or_leave(connection)

    async def _disconnect_or_leave(self, connection: IdentityConnection[C]) -> None:
        """Disconnect so that a login can reconnect; leave a shared connection to its other members."""
        if connection.is_shared:
            self._retire(connection)
            await self._retired.wait_closed()
        else:
            connection.stage = ConnectionStage.STOPPED
            await connection.client.disconnect()

    def _abandon(self, error: OnesocketError) -> None:
        if self._flight is not None:
            self._flight.is_superseded = False
            self._flight.abort(error)
        self._auth_query.abort(error)
        self._connection_notices.clear()

    # --- the one client -----------------------------------------------------------------------------------------------

    def _build(self, identity: Identity) -> IdentityConnection[C]:
        connection: IdentityConnection[C] = IdentityConnection(identity.key, self._token_of)
        try:
            connection.build(self._make_client)
        except OnesocketError as error:
            self._connection_notices.failed(error)
            raise
        connection.client.on_change(functools.partial(self._changed, connection))
        return connection

    def _changed(self, connection: IdentityConnection[C], change: Change) -> None:
        if self._is_current(connection):
            self._connection_notices.changed(change, connection.client.status.retry_in)

    def _retire(self, connection: IdentityConnection[C]) -> None:
        self._connection = None
        self._connection_notices.clear()
        self._retired.add(connection)

    async def _token_of(
        self, connection: IdentityConnection[C], previous: str | None, refusal: OnesocketError | None
    ) -> str:
        """Return the token of an attempt that the client makes; `previous` was refused with `refusal`."""
        try:
            identity = await self._identity_for(connection, previous, refusal)
        except OnesocketError as error:
            if connection.is_shared and not self._is_current(connection):
                raise Superseded("this provider left the connection") from error
            raise
        if identity is not None:
            self._secrets = (identity.token,)
            if identity.key == connection.key:
                return identity.token
        if connection.is_shared:
            # The connection may go on with another member's token, but calls of this provider end.
            connection.stage = ConnectionStage.LEFT
            self._retire(connection)
        if identity is None:
            self._connection_notices.session_expired()
            raise (
                Superseded("signed out")
                if connection.is_shared
                else SessionExpired("no user is signed in any more: the auth callback returned None")
            )
        if self._in_flight() is None:  # else that flight gets the same answer
            if not connection.is_shared:
                self._retire(connection)
            self._start_flight(identity, detached=True)
        raise Superseded("another identity signed in")

    async def _identity_for(
        self, connection: IdentityConnection[C], previous: str | None, refusal: OnesocketError | None
    ) -> Identity | None:
        """Return the identity whose token an attempt of this connection uses."""
        if self._access is not _Access.OPEN:
            raise mark_unwrapped(
                ManuallyDisconnected("logout() was called on the provider; call its login() to lift it")
            )
        # A token that a flight brought needs no call, even if it is brought during the call.
        identity = None if connection.next_token is not None else await self._auth_query.ask(previous, refusal)
        if connection is not self._connection:
            raise Superseded("another identity signed in")
        fresh, connection.next_token = connection.next_token, None
        return identity if fresh is None else Identity(connection.key, fresh)

    def _is_current(self, connection: IdentityConnection[C]) -> bool:
        return connection is self._connection and self._access is _Access.OPEN

    def _track(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Mark its exception as retrieved: all callers may have been cancelled.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())


def _outcome_of_caller(outcome: Outcome, *, starts: bool) -> Outcome:
    return Outcome.JOINED if outcome is Outcome.OPENED and not starts else outcome
