"""One client for whoever is signed in: built lazily, joined by everybody, held after a logout."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Any, Generic, Self

from ..client._affinity import Affinity
from ..client._client import Client
from ..client._identity_token import Superseded
from ..client._options import check_seconds
from ..client._status import Change
from ..client._user_code import USER_ERRORS, concerns_another_client, mark_unwrapped
from ..errors import (
    ClientClosed,
    ConnectAborted,
    InvalidOption,
    ManuallyDisconnected,
    OnesocketError,
    SessionExpired,
    UsageError,
)
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..notices import ConnectionNotices, LogSink, Notices, NoticeSink
from ..urls import parse_url
from ._auth_query import AuthQuery
from ._identity import Auth, Identity, as_identity
from ._identity_connection import C, IdentityClientFactory, IdentityConnection
from ._single_flight import ConnectFlight
from ._status import ProviderStatus

_log = logging.getLogger("onesocket")
# aclose() waits so many seconds for an auth callback that refuses to be cancelled.
_GRACE = 1.0
_LOGGED_OUT = "logout() was called while this call was waiting"


class Provider(Generic[C]):
    """The one client of whoever is signed in, for every component that wants it.

    Any number of components may call every method at any time. There are never two lines, and after `logout()` no
    component brings one back. It belongs to the event loop that first uses it. ``async with`` closes it at the end; it
    does not connect.

    Parameters:
        make_client: A URL, or a function that builds a new `Client` each time: it is given the token source, as in
            ``lambda token: Client(url, token=token, protocol=Json())``. Called once for each identity. With
            ``lambda token: onesocket.join(url, token=token)`` it shares the line with whoever has the same identity.
        auth: A function or coroutine function that says who is signed in: an `Identity`, or a str (a token that is its
            own identity, so a renewed token counts as somebody else), or None for nobody. Asked anew for each attempt;
            it must not block.
        notices: Where failures are shown: a board or one sink (default: the log).
        auth_timeout: Seconds that `auth` may take.
        service: Name of the server in notices.

    Another identity than that of the line, wherever it turns up, closes the old client for good (its subscriptions
    end) before a new one is built; take `provider.client` anew then. If a lost line is to be resumed and `auth` says
    None, it is not: the client is FAILED with `SessionExpired`, until somebody is signed in and asks.

    A line that is shared is left, where one of its own would be put down: by `logout()`, and when `auth` says None. The
    others keep it; the last one out closes it.
    """

    def __init__(
        self,
        make_client: str | IdentityClientFactory[C],
        *,
        auth: Auth,
        notices: Notices | NoticeSink | None = None,
        auth_timeout: float = 10.0,
        service: str = "the server",
    ) -> None:
        if isinstance(make_client, str):
            parse_url(make_client)
            url = make_client
            self._make_client: IdentityClientFactory[Any] = lambda token: Client(url, token=token)
        elif callable(make_client):
            self._make_client = make_client
        else:
            raise InvalidOption(
                f"Provider needs a URL or a function that makes a client, not {type(make_client).__name__}"
            )
        if not callable(auth):
            raise InvalidOption(f"auth must be a function, not {type(auth).__name__}")
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
        self._held = False
        self._closed = False
        self._flight: ConnectFlight | None = None
        self._connection: IdentityConnection[C] | None = None
        self._retiring: dict[asyncio.Task[None], IdentityConnection[C]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        words = [word for word, so in (("closed", self._closed), ("held", self._held)) if so]
        return " ".join(
            ("<Provider", repr(self.service), *words, f"callers={self._callers}", f"client={self.client!r}>")
        )

    @property
    def client(self) -> C | None:
        """The one client, or the link; None before it is built. Another one after a change of identity."""
        return self._connection.client if self._connection is not None else None

    @property
    def status(self) -> ProviderStatus:
        """A frozen snapshot of this moment."""
        return ProviderStatus(
            service=self.service,
            is_held=self._held,
            is_closed=self._closed,
            is_connecting=self._in_flight() is not None,
            callers=self._callers,
            client=self.client.status if self.client is not None else None,
            notices=self.notices.active,
        )

    # --- the public verbs -------------------------------------------------------------------------------------------

    async def connect_if_authenticated(self) -> Outcome:
        """Have the line up if somebody is signed in: start, join, or find it done.

        Returns `NOT_AUTHENTICATED` if nobody is (nothing is attempted, and a line that was being resumed is given up),
        else `OPENED`, `JOINED` or `ALREADY_CONNECTED`. While the line is up, `auth` is not asked.

        Raises `TokenFailed` or `AuthTimeout` if `auth` fails, what `Client.connect()` raises, `ManuallyDisconnected`
        after `logout()`, `ConnectAborted` if `logout()` comes meanwhile, `ClientClosed` after `aclose()`: the same for
        everybody who joined. Ends within `auth_timeout` and the client's own deadlines. Cancelling it hurts nobody
        else; with the last caller the attempt is wound down.
        """
        while True:
            self._check_usable()
            if self._held:
                raise ManuallyDisconnected("logout() was called on this provider; call login() to lift it")
            flight, starts = self._in_flight(), False
            if flight is None:
                if self._connection is not None and self._connection.client.state is State.CONNECTED:
                    return Outcome.ALREADY_CONNECTED
                flight, starts = self._start_flight(None), True
            try:
                return _outcome_of_caller(await flight.join(), starts=starts)
            except Superseded:
                # A login() took its place, and what comes of that is what this caller wants.
                if self._held:
                    raise ConnectAborted(_LOGGED_OUT) from None

    async def login(self, identity: Identity | str | None = None) -> Outcome:
        """Lift a `logout()` and have the line up for `identity`, or for whom `auth` (asked anew) says is signed in.

        A line of somebody else is closed first. Returns and raises what `connect_if_authenticated()` does. The newest
        login wins: one that asked for something else gets `ConnectAborted`. `auth` has to agree with `identity` from
        then on, as later attempts ask it.
        """
        self._check_usable()
        wish = as_identity(identity)
        self._held = False
        flight, starts = self._in_flight(), False
        if flight is None or not flight.serves(wish):
            self._auth_query.invalidate()
            flight, starts = self._start_flight(wish, by_login=True), True
        while True:
            try:
                return _outcome_of_caller(await flight.join(), starts=starts)
            except Superseded:
                self._check_usable()
                later = self._in_flight()
                if later is None or later.wish != wish:
                    raise ConnectAborted("a later login() took the place of this one") from None
                flight, starts = later, False

    async def logout(self) -> None:
        """Close the line in order and hold it closed: only `login()` lifts that.

        Who waits for the line gets `ConnectAborted` at once. Returns when nothing is left of it: within the client's
        `close_timeout`, and what is left of `open_timeout` while an upgrade is being answered.
        """
        self._check_loop()
        if not self._closed:
            self._held = True
            self._abandon(ConnectAborted(_LOGGED_OUT))
        line = self._connection
        if line is not None:
            await self._close_or_leave(line)
        await self._wait_retired()

    async def aclose(self) -> None:
        """Close the line in order, for good; nothing of the provider is left on the loop. Idempotent."""
        self._check_loop()
        self._closed = True
        self._abandon(ClientClosed("aclose() was called while this call was waiting"))
        if self._connection is not None:
            await self._connection.client.aclose()
        # The auth callback may be the one that closes the provider: it must not wait for itself.
        tasks = self._tasks - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE)
        if self._retiring:
            await asyncio.wait(tuple(self._retiring))

    async def __aenter__(self) -> Self:
        """Nothing is connected yet: that is for whoever asks."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, for good."""
        await self.aclose()

    # --- flights: from the question of who is signed in to the line being up -----------------------------------------

    def _check_loop(self) -> None:
        self._affinity.check()

    def _check_usable(self) -> None:
        self._check_loop()
        if self._closed:
            raise ClientClosed("aclose() was called on this provider, which is final; make a new one")

    @property
    def _callers(self) -> int:
        flight = self._in_flight()
        return flight.callers if flight is not None else 0

    def _in_flight(self) -> ConnectFlight | None:
        return self._flight if self._flight is not None and not self._flight.is_over else None

    def _start_flight(self, wish: Identity | None, *, by_login: bool = False, kept: bool = False) -> ConnectFlight:
        old = self._in_flight()
        if old is not None:
            old.is_superseded = True
            # One that dials may be just what is wanted: the new one joins its attempt, or closes it.
            if not old.is_dialling:
                old.give_up(Superseded())
        self._flight = ConnectFlight(self._run_flight, wish, by_login=by_login, kept=kept)
        self._track(self._flight.task)
        return self._flight

    async def _run_flight(self, flight: ConnectFlight) -> Outcome:
        flight.has_begun = True
        identity = flight.wish if flight.wish is not None else await self._auth_query.ask()
        if identity is None:
            await self._close_signed_out()
            return Outcome.NOT_AUTHENTICATED
        self._connection_notices.auth_answered(signed_in=True)
        self._secrets = (identity.token,)
        line = self._connection
        if line is not None and (line.key != identity.key or line.client.state is State.CLOSED):
            self._retire(line)
        await self._wait_retired()
        if self._connection is None:
            self._connection = self._build(identity)
        return await self._dial(flight, self._connection, identity.token)

    async def _dial(self, flight: ConnectFlight, line: IdentityConnection[C], token: str) -> Outcome:
        flight.is_dialling = True
        line.next_token = token
        try:
            try:
                outcome = await line.client.connect()
            except ManuallyDisconnected:
                # Put down by us, or by somebody at the client itself, which only a login() lifts.
                if not (line.may_reconnect or flight.by_login):
                    raise
                line.may_reconnect = False
                outcome = await line.client.reconnect()
            line.was_up = True
        except asyncio.CancelledError:
            if flight.is_over and line.is_shared and line is self._connection and not line.was_up:
                self._retire(line)  # nobody wants it any more, and it must not come up with the others
            raise
        except SessionExpired:
            return Outcome.NOT_AUTHENTICATED
        except (ClientClosed, ConnectAborted) as error:
            if flight.is_superseded or line.is_left:
                raise Superseded from error
            raise
        finally:
            line.next_token = None
        return outcome

    async def _close_signed_out(self) -> None:
        """Nobody is signed in: a line that is up, or on its way, comes down."""
        line = self._connection
        resting = (State.DISCONNECTED, State.FAILED, State.STOPPED, State.CLOSED)
        if line is None:
            return
        is_resting = line.client.state in resting
        if not is_resting:
            self._connection_notices.session_expired()
        if line.is_shared or not is_resting:  # one that is shared may come up again without us
            await self._close_or_leave(line)

    async def _close_or_leave(self, line: IdentityConnection[C]) -> None:
        """Put it down so that it can be lifted again; what others use, too, is left to them."""
        if line.is_shared:
            self._retire(line)
            await self._wait_retired()
        else:
            line.may_reconnect = True
            await line.client.disconnect()

    def _abandon(self, error: OnesocketError) -> None:
        if self._flight is not None:
            self._flight.is_superseded = False
            self._flight.give_up(error)
        self._auth_query.give_up(error)
        self._connection_notices.clear()

    # --- the one client ---------------------------------------------------------------------------------------------

    def _build(self, identity: Identity) -> IdentityConnection[C]:
        line: IdentityConnection[C] = IdentityConnection(identity.key, self._token_of)
        try:
            line.build(self._make_client)
        except USER_ERRORS as error:
            if isinstance(error, OnesocketError) and not concerns_another_client(error):
                self._connection_notices.failed(error)
                raise
            # Its text may hold a secret, so it is only chained.
            failure = UsageError(f"make_client raised {type(error).__name__}")
            self._connection_notices.failed(failure)
            raise failure from error
        line.client.on_change(lambda change: self._changed(line, change))
        return line

    def _changed(self, line: IdentityConnection[C], change: Change) -> None:
        if line is self._connection and not self._held and not self._closed:
            self._connection_notices.changed(change, line.client.status.retry_in)

    def _retire(self, line: IdentityConnection[C]) -> None:
        self._connection = None
        self._connection_notices.clear()
        # A task of its own: no caller's cancellation may stop it half-way.
        task = asyncio.get_running_loop().create_task(line.client.aclose(), name="onesocket closes the old client")
        self._retiring[task] = line
        task.add_done_callback(self._retired)

    def _retired(self, task: asyncio.Task[None]) -> None:
        del self._retiring[task]
        if not task.cancelled() and task.exception() is not None:
            _log.error("closing the old client failed", exc_info=task.exception())

    async def _wait_retired(self) -> None:
        # Not until aclose() is done: that waits for the subscribers, one of which may be the caller.
        for line in tuple(self._retiring.values()):
            await line.wait_closed()

    async def _token_of(self, line: IdentityConnection[C]) -> str:
        """The token of an attempt that the client makes."""
        try:
            identity = await self._identity_for(line)
        except OnesocketError as error:
            if line.is_shared and not self._keeps(line):
                raise Superseded("this provider left the line") from error
            raise
        if identity is not None:
            self._secrets = (identity.token,)
            if identity.key == line.key:
                return identity.token
        if line.is_shared:
            # The connection may go on with another member's token: what was asked for through us is over now.
            line.is_left = True
            self._retire(line)
        if identity is None:
            self._connection_notices.session_expired()
            raise (
                Superseded("signed out")
                if line.is_shared
                else SessionExpired("nobody is signed in any more: the auth callback returned None")
            )
        if self._in_flight() is None:  # otherwise that one sees to it: it gets the same answer
            if not line.is_shared:
                self._retire(line)
            self._start_flight(identity, kept=True)
        raise Superseded("another identity signed in")

    async def _identity_for(self, line: IdentityConnection[C]) -> Identity | None:
        """Whose token an attempt of this line shall use."""
        if self._held or self._closed:
            raise mark_unwrapped(
                ManuallyDisconnected("logout() was called on the provider; call its login() to lift it")
            )
        # What a flight brings needs no question, even if it comes while the question is being asked.
        identity = None if line.next_token is not None else await self._auth_query.ask()
        if line is not self._connection:
            raise Superseded("another identity signed in")
        fresh, line.next_token = line.next_token, None
        return identity if fresh is None else Identity(line.key, fresh)

    def _keeps(self, line: IdentityConnection[C]) -> bool:
        return line is self._connection and not self._held and not self._closed

    def _track(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Somebody may have stopped waiting for it.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())


def _outcome_of_caller(outcome: Outcome, *, starts: bool) -> Outcome:
    return Outcome.JOINED if outcome is Outcome.OPENED and not starts else outcome
