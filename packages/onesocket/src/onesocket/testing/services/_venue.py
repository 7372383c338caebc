"""The base of the fake venues: a server that keeps the limits of a service, and a ledger."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, Literal, TypedDict, TypeVar, Unpack

from ...wire._handshake import Data
from .._faults import ConnectionLimit, Fault, MessageLimit, UpgradeReply
from .._faulty_connection import FaultyConnection
from .._faulty_server import FaultyServer
from .._places import Places
from .._server_context import FaultPlan
from ._disorder import DisorderOf, DisorderPlan, DisorderScript
from ._http_api import ApiRequest, HttpApi
from ._ledger import LedgerEntry, VenueEvent, VenueLedger
from ._session import VenueSession

S = TypeVar("S", bound=VenueSession[Any])


class ServerOptions(TypedDict, total=False):
    """Options of `FaultyServer` that a venue takes, too."""

    host: str
    port: int
    ssl: ssl_module.SSLContext | None
    faults: FaultPlan
    limit: ConnectionLimit | None
    message_limit: MessageLimit | None
    compression: Literal["deflate"] | None
    subprotocols: tuple[str, ...]
    max_size: int
    received_limit: int
    close_timeout: float


class VenueOptions(ServerOptions, total=False):
    """Options that all venues have; see `Venue`."""

    account_limit: ConnectionLimit | None
    refused: Iterable[str]
    disorder: DisorderPlan
    lifetime: float | None
    notice: float
    ping_interval: float | None
    pong_timeout: float
    answer_delay: float
    ledger_limit: int


class Venue(FaultyServer, Generic[S]):
    """A fake service on loopback, for tests: a `FaultyServer` that speaks a service's protocol and keeps its limits.

    - `account_limit`: the connections that one account may have at once, and how long ended ones keep their place
      (`ConnectionLimit`, of which `surplus` is not used). May be replaced at any time.
    - `refused`: keys whose subscription is refused; the attribute is a set that may be changed at any time.
    - `disorder`: holes, repeats and late messages in the data; see the attribute.
    - `lifetime`: seconds after which the venue ends a connection, and `notice`: seconds between the announcement and
      the end, where the service announces it.
    - `ping_interval`: seconds between two PINGs of the venue; one that has no PONG after `pong_timeout` ends the
      connection.
    - `answer_delay`: seconds after which the venue takes a message of the client, and so subscribes and answers. May be
      set at any time; messages are taken in their order.
    - `ledger_limit`: number of entries that `ledger` keeps.
    - The other options, and the faults, are those of `FaultyServer`; `message_limit` is the control pace.

    Wait for the venue with ``await venue.wait_until(lambda _: "AAPL" in …)``: it looks at every change of the counts,
    after the message that caused the change was handled.
    """

    service: str = ""
    path: str = ""
    """Path of the service's endpoint, without the first slash."""
    default_options: ClassVar[VenueOptions] = {}
    """The limits of the service, where they are not those of all venues."""
    has_api: ClassVar[bool] = False
    """The service has an HTTP side, which is answered at `api_url`."""
    rotation_code: int = 1001
    """Close code with which the venue ends a connection at the end of its lifetime."""

    def __init__(
        self,
        *,
        account_limit: ConnectionLimit | None = None,
        refused: Iterable[str] = (),
        disorder: DisorderPlan = None,
        lifetime: float | None = None,
        notice: float = 0.0,
        ping_interval: float | None = None,
        pong_timeout: float = 60.0,
        answer_delay: float = 0.0,
        ledger_limit: int = 100_000,
        **server: Unpack[ServerOptions],
    ) -> None:
        super().__init__(echo=False, on_message=self._take, subscription_of=lambda _: None, **server)
        self.account_limit = account_limit
        self.refused = set(refused)
        self.lifetime = lifetime
        self.notice = notice
        self.ping_interval = ping_interval
        self.pong_timeout = pong_timeout
        self.answer_delay = answer_delay
        self.ledger = VenueLedger(ledger_limit)
        """Everything that happened: see `VenueLedger`."""
        self._disorder: DisorderPlan = disorder
        self._disorder_script = DisorderScript(disorder)
        self._sessions: dict[int, S] = {}
        self._accounts: dict[str, Places] = {}
        self._api = HttpApi(self.answer_http)

    def with_defaults(self, options: VenueOptions) -> VenueOptions:
        """Return the options, with the service's own limits for those that are not given."""
        chosen: VenueOptions = {**self.default_options, **options}
        return chosen

    def new_session(self, connection: FaultyConnection) -> S:
        """Return the session of a new connection."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """The address of the service's endpoint. Raises RuntimeError before `start()`."""
        return super().url + self.path

    @property
    def api_url(self) -> str:
        """The address of the service's HTTP side, without a slash at its end. Raises RuntimeError before `start()`."""
        if not self._api.port:
            raise RuntimeError(f"{type(self).__name__} has no HTTP side before start(), or none at all")
        return f"{'http' if self._ssl is None else 'https'}://{self.host}:{self._api.port}"

    def answer_http(self, request: ApiRequest) -> tuple[int, Any]:
        """Return the status and the JSON body that answer an HTTP request."""
        raise NotImplementedError

    async def start(self) -> None:
        """Listen, on the same ports as before if there were some. Idempotent."""
        await super().start()
        if self.has_api:
            await self._api.start(self.host, self._ssl)

    async def stop_listening(self, *, kill: bool = False) -> None:
        """Refuse new TCP connections until `start()`, as `FaultyServer.stop_listening()`; the HTTP side as well."""
        await self._api.stop()
        await super().stop_listening(kill=kill)

    @property
    def sessions(self) -> list[S]:
        """The sessions of the connections open now, oldest first."""
        return list(self._sessions.values())

    @property
    def keys(self) -> frozenset[str]:
        """All keys that some connection is subscribed to now."""
        return frozenset(self.ledger.subscribers)

    @property
    def disorder(self) -> DisorderPlan:
        """Disorder of the data that are pushed. May be set at any time.

        - None: none.
        - a `Disorder`: each message has it.
        - an iterable: the first is for the next push, and so on; None in it, and its end, mean "in order".
        - a callable: called with the session and the key of each message; it returns a Disorder or None.
        """
        return self._disorder

    @disorder.setter
    def disorder(self, plan: DisorderPlan) -> None:
        self._disorder = plan
        self._disorder_script = DisorderScript(plan)

    def time(self) -> float:
        """Time of the event loop's clock in seconds."""
        return asyncio.get_running_loop().time()

    def places(self, account: str) -> Places:
        """Return the places of an account."""
        return self._accounts.setdefault(account, Places())

    def take_place(self, account: str, number: int) -> bool:
        """Give one of the account's places to a connection; False if none is free."""
        places = self.places(account)
        if places.is_full(self.account_limit):
            return False
        places.take(number)
        return True

    # Data

    def next_disorder(self) -> DisorderOf:
        """Take the disorder of the next push, as a function of a session and a key."""
        return self._disorder_script.next()

    def distribute(self, data: Any, *keys: str) -> int:
        """Send data to all subscriptions of `keys`, as one push; return the number of connections that have one."""
        disorder_of = self.next_disorder()
        reached = 0
        for session in self.sessions:
            subscriptions = [(key, subscription) for key in keys for subscription in session.matching(key)]
            reached += bool(subscriptions)
            for key, subscription in subscriptions:
                message = session.render(subscription, data)
                if message is not None:
                    session.deliver(key, message, disorder_of(session, key))
        return reached

    # Rotation

    async def rotate(self, *, notice: float | None = None) -> int:
        """End all connections that are open, as at the end of their lifetime; return their number.

        The end is announced, where the service does so, `notice` seconds before (default: the option's).
        """
        sessions = self.sessions
        await self._rotate(sessions, self.notice if notice is None else notice)
        return len(sessions)

    async def _rotate(self, sessions: list[S], notice: float) -> None:
        for session in sessions:
            session.announce()
        await asyncio.sleep(notice)
        left = [session for session in sessions if session.connection.can_send]
        for session in left:
            session.farewell()
            session.note(VenueEvent.ROTATED)
        await asyncio.gather(*(session.connection.close(self.rotation_code) for session in left))

    async def _ping(self, session: S, interval: float) -> None:
        try:
            await session.connection.ping(self.pong_timeout)
        except TimeoutError:
            session.note(VenueEvent.LIMIT_EXCEEDED, "pong_timeout", f"no PONG within {self.pong_timeout:g} s")
            session.end(1008, "no PONG")
        except ConnectionResetError:
            pass
        else:
            self._ping_later(session, interval)

    def _ping_later(self, session: S, interval: float) -> None:
        session.after(interval, lambda: self.start_task(self._ping(session, interval)))

    # Called by the server

    def upgraded(self, connection: FaultyConnection, *, takes_place: bool) -> None:
        """Note that the WebSocket is open."""
        super().upgraded(connection, takes_place=takes_place)
        entry = LedgerEntry(
            self.time(), connection.number, VenueEvent.OPENED, connection.request_path.partition("?")[0]
        )
        self.ledger.note(entry)
        if not takes_place:
            self.ledger.note(LedgerEntry(self.time(), connection.number, VenueEvent.LIMIT_EXCEEDED, "connections"))
            return
        session = self._sessions[connection.number] = self.new_session(connection)
        asyncio.get_running_loop().call_soon(self._begin, session)  # after the 101

    def _begin(self, session: S) -> None:
        if not session.connection.can_send:
            return
        session.opened()
        if self.lifetime is not None:
            lifetime, notice = self.lifetime, self.notice
            session.after(max(0.0, lifetime - notice), lambda: self.start_task(self._rotate([session], notice)))
        if self.ping_interval is not None:
            self._ping_later(session, self.ping_interval)

    def over(self, connection: FaultyConnection, *, clean: bool) -> None:
        """Note that the WebSocket is over."""
        super().over(connection, clean=clean)
        session = self._sessions.pop(connection.number, None)
        if session is None:
            self._note(connection, VenueEvent.CLOSED)
            return
        if session.account is not None:
            self.places(session.account).leave(connection.number, self.account_limit, clean=clean)
        session.closed()

    def choose_fault(self, connection: FaultyConnection) -> Fault:
        """Return the fault of a new connection: that of the plan, or the refusal of a wrong address."""
        fault = super().choose_fault(connection)
        return (self.admit(connection) or fault) if fault.answer is UpgradeReply.ACCEPT else fault

    def admit(self, connection: FaultyConnection) -> Fault | None:
        """Return the answer to an upgrade request that the service refuses; None to accept it."""
        path = connection.request_path.partition("?")[0].strip("/")
        return None if path == self.path else Fault.refuse(404)

    def _exceeds_limit(self, connection: FaultyConnection) -> bool:
        was_open = connection.can_send
        exceeds = super()._exceeds_limit(connection)
        if exceeds and was_open:
            self._note(connection, VenueEvent.LIMIT_EXCEEDED, "message_limit")
        return exceeds

    def _note(self, connection: FaultyConnection, event: VenueEvent, key: str = "") -> None:
        self.ledger.note(LedgerEntry(self.time(), connection.number, event, key))

    def _take(self, connection: FaultyConnection, message: Data) -> None:
        session = self._sessions.get(connection.number)
        if session is not None and connection.can_send:
            session.take_later(message, self.answer_delay)
