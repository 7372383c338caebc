"""The state of a faulty server that its connections use: limits, the fault plan, and the registry of connections."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..wire._handshake import Data
from ._counters import Counters
from ._faults import ConnectionLimit, Fault, MessageLimit
from ._heartbeat_demand import HeartbeatCheck, HeartbeatDemand
from ._message_log import MessageLog
from ._places import Places
from ._subscription_ledger import ReadSubscription, SubscriptionLedger

if TYPE_CHECKING:
    from ._faulty_connection import FaultyConnection

log = logging.getLogger("onesocket.testing")

FaultPlan = Fault | Iterable[Fault | None] | Callable[["FaultyConnection"], Fault | None] | None
OnMessage = Callable[["FaultyConnection", Data], Data | None]
Handler = Callable[["FaultyConnection"], Awaitable[None]]

# WebSockets that are remembered after their end.
_HISTORY_LIMIT = 1_000


class ServerContext:
    """Base of `FaultyServer`: everything that a connection needs from its server."""

    limit: ConnectionLimit | None = None
    message_limit: MessageLimit | None = None
    heartbeat_demand: HeartbeatDemand | None = None
    on_message: OnMessage | None = None
    handler: Handler | None = None
    echo: bool = True
    subprotocols: tuple[str, ...] = ()
    compression: Literal["deflate"] | None = None
    max_size: int
    close_timeout: float

    def __init__(self, received: MessageLog, subscription_of: ReadSubscription | None) -> None:
        self.counters = Counters()
        self._received = received
        self._subscription_of = subscription_of
        self._plan: Fault | Callable[[FaultyConnection], Fault | None] | None = None
        self._script: deque[Fault | None] = deque()
        self._sockets: dict[int, FaultyConnection] = {}
        self._open: dict[int, FaultyConnection] = {}
        self._history: deque[FaultyConnection] = deque(maxlen=_HISTORY_LIMIT)
        self._places = Places()
        self._heartbeat_checks: dict[int, HeartbeatCheck] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.most_established = 0
        """The high-water mark of `established`, which is read at each new TCP connection."""
        self._no_sockets = asyncio.Event()
        self._no_sockets.set()

    # Faults

    @property
    def faults(self) -> FaultPlan:
        """Faults of the connections, chosen when the upgrade request arrives. May be set at any time.

        - None: they behave.
        - a `Fault`: each connection has it.
        - a list of faults: the first is for the next connection, and so on; None in it, and its end, mean
          "behave". Reading the attribute gives those that are left.
        - a callable: called with each connection, whose request can be read; it returns a Fault or None.
        """
        return list(self._script) if self._plan is None else self._plan

    @faults.setter
    def faults(self, plan: FaultPlan) -> None:
        self._script.clear()
        self._plan = None
        if isinstance(plan, Fault) or callable(plan):
            self._plan = plan
        elif plan is not None:
            self._script.extend(plan)

    @property
    def ghosts(self) -> int:
        """Number of places kept by sessions that were dropped: see `ConnectionLimit`."""
        return self._places.ghosts

    @property
    def established(self) -> int:
        """Number of TCP connections that the kernel holds open both ways, whether or not they are read.

        The counts include an end once it is read; a server that has stopped reading notices none.
        """
        return sum(connection.is_established() for connection in self._sockets.values())

    # Called by connections

    @property
    def has_handler(self) -> bool:
        """True if there is a `handler`."""
        return self.handler is not None

    def choose_fault(self, connection: FaultyConnection) -> Fault:
        """Return the fault of a new connection."""
        if isinstance(self._plan, Fault):
            return self._plan
        if self._plan is not None:
            try:
                return self._plan(connection) or Fault()
            except Exception:
                log.exception("the fault plan failed for %r", connection)
                return Fault.refuse(500)
        return (self._script.popleft() if self._script else None) or Fault()

    def surplus_fault(self) -> Fault | None:
        """Return the fault of a connection beyond the limit; None within it."""
        return self.limit.surplus if self.limit is not None and self._places.is_full(self.limit) else None

    def choose_subprotocol(self, offered: Sequence[str]) -> str | None:
        """Return the server's best subprotocol among those offered, if any."""
        return next((name for name in self.subprotocols if name in offered), None)

    def new_log(self) -> MessageLog:
        """Return an empty log."""
        return self._received.empty()

    def new_ledger(self) -> SubscriptionLedger:
        """Return an empty ledger of subscriptions."""
        return SubscriptionLedger(self._subscription_of)

    def start_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that `aclose()` cancels at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def attached(self, connection: FaultyConnection) -> None:
        """Note that the TCP connection is there."""
        self._sockets[connection.number] = connection
        self._no_sockets.clear()
        self.most_established = max(self.most_established, self.established + 1)  # it has no transport yet

    def detached(self, connection: FaultyConnection) -> None:
        """Note that the TCP connection is gone."""
        self._sockets.pop(connection.number, None)
        if not self._sockets:
            self._no_sockets.set()

    def upgraded(self, connection: FaultyConnection, *, takes_place: bool) -> None:
        """Note that the WebSocket is open."""
        self._open[connection.number] = connection
        self._history.append(connection)
        if takes_place:
            self._places.take(connection.number)
        if self.heartbeat_demand is not None:
            check = self._heartbeat_checks[connection.number] = HeartbeatCheck(self.heartbeat_demand, connection)
            self.start_task(check.run())
        if self.handler is not None:
            self.start_task(self._run_handler(self.handler, connection))

    def over(self, connection: FaultyConnection, *, clean: bool) -> None:
        """Note that the WebSocket is over; `clean` if CLOSE has gone both ways."""
        self._open.pop(connection.number, None)
        self._heartbeat_checks.pop(connection.number, None)
        self._places.leave(connection.number, self.limit, clean=clean)

    def ping_or_pong(self, connection: FaultyConnection) -> None:
        """Take a PING or a PONG."""
        if self.message_limit is not None and self.message_limit.pings:
            self._exceeds_limit(connection)

    def _exceeds_limit(self, connection: FaultyConnection) -> bool:
        """Count a message; close the connection if it is one too many."""
        limit = self.message_limit
        if limit is None or connection.arrivals_within(limit.per, limit.messages + 1) <= limit.messages:
            return False
        connection.close_nowait(limit.code, limit.reason)
        return True

    def message(self, connection: FaultyConnection, message: Data) -> Data | None:
        """Take a message; return the reply, if any."""
        self._received.add(message)
        if connection.number in self._heartbeat_checks:
            self._heartbeat_checks[connection.number].note(message)
        limit = self.message_limit
        counts = limit is not None and (limit.counts is None or limit.counts(message))
        if counts and self._exceeds_limit(connection):
            return None
        reply = message if self.echo else None
        try:
            answer = self.on_message(connection, message) if self.on_message else None
        except Exception:
            log.exception("on_message failed for %r", connection)
            connection.close_nowait(1011)
            return None
        return reply if answer is None else answer

    async def _run_handler(self, handler: Handler, connection: FaultyConnection) -> None:
        code = 1000
        try:
            await handler(connection)
        except ConnectionResetError:
            log.debug("the handler of %r outlived its WebSocket", connection)
        except Exception:
            log.exception("the handler of %r failed", connection)
            code = 1011
        await connection.close(code)
