"""A real WebSocket server on loopback that counts events and misbehaves on request.

Use it like this::

    async with FaultyServer() as server:
        server.faults = [Fault.refuse(503), Fault.slow_upgrade(0.2)]
        ...  # connect to server.url
        await server.wait_until(lambda counts: counts.upgraded == 1)
        assert server.counts.most_open == 1
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as ssl_module
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

from ..recording._reader import Recording
from ..wire._handshake import Data
from ._counters import Counts
from ._faults import ConnectionLimit, MessageLimit
from ._faulty_connection import FaultyConnection
from ._handshake_endpoint import ConnectionPhase
from ._heartbeat_demand import HeartbeatDemand
from ._message_log import MessageLog
from ._server_context import FaultPlan, Handler, OnMessage, ServerContext
from ._subscription_ledger import ReadSubscription
from ._tls_listener import TlsListener

# Thousands of clients may dial in the same tick; the kernel cuts this to its own limit (net.core.somaxconn).
_BACKLOG = 4096


class FaultyServer(ServerContext):
    """A WebSocket server for tests. An async context manager: it listens inside the block.

    - `host`, `port`: where to listen. Port 0 takes a free port, and keeps it over restarts.
    - `ssl`: a server-side SSLContext, for wss.
    - `faults`: see the attribute.
    - `limit`: number of sessions allowed at once; None for no limit. May be replaced at any time.
    - `message_limit`: limit on the messages of each connection. May be replaced at any time.
    - `heartbeat_demand`: demand on each new connection to show life by messages.
    - `echo`: send text and binary messages back. By default on, unless `on_message` or `handler` is given.
    - `on_message(connection, message)`: called for each message; its result, if not None, is sent back.
      If it raises, the error is logged and the connection is closed with 1011.
    - `handler(connection)`: a coroutine per WebSocket, which reads with `recv()` or `async for`. When it returns, the
      WebSocket is closed with 1000; when it raises, the error is logged, and the code is 1011.
    - `subprotocols`: the server's sub-protocols, best first. A client that offers none of them gets none.
    - `compression`: `"deflate"` agrees to permessage-deflate with clients that offer it; raw frames stay raw.
    - `max_size`: the longest message accepted, in bytes; a longer one is answered with close code 1009.
    - `subscription_of(message)`: the keys that a message subscribes to and unsubscribes from, for the ledger that each
      connection has (`connection.subscriptions`); by default the usual JSON shapes.
    - `received_limit`, `overflow`: number of messages that are kept, for the server and for each connection, and
      whether the oldest (`"drop_oldest"`) or the newest (`"drop_newest"`) is lost beyond it.
    - `close_timeout`: seconds a client has to acknowledge a close, or to end TCP, before the server ends it.

    Not thread-safe: to be used on the event loop that started it.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ssl: ssl_module.SSLContext | None = None,
        faults: FaultPlan = None,
        limit: ConnectionLimit | None = None,
        message_limit: MessageLimit | None = None,
        heartbeat_demand: HeartbeatDemand | None = None,
        echo: bool | None = None,
        on_message: OnMessage | None = None,
        handler: Handler | None = None,
        subprotocols: Sequence[str] = (),
        compression: Literal["deflate"] | None = None,
        subscription_of: ReadSubscription | None = None,
        max_size: int = 16 << 20,
        received_limit: int = 10_000,
        overflow: Literal["drop_oldest", "drop_newest"] = "drop_oldest",
        close_timeout: float = 1.0,
    ) -> None:
        super().__init__(MessageLog(received_limit, overflow), subscription_of)
        self.host = host
        self.limit = limit
        self.message_limit = message_limit
        self.heartbeat_demand = heartbeat_demand
        self.on_message = on_message
        self.handler = handler
        self.echo = echo if echo is not None else on_message is None and handler is None
        self.subprotocols = tuple(subprotocols)
        self.compression = compression
        self.max_size = max_size
        self.close_timeout = close_timeout
        self.faults = faults
        self._port = port
        self._ssl = ssl
        self._listener: asyncio.Server | TlsListener | None = None
        self._numbers = 0

    @classmethod
    def replay(
        cls,
        recording: Recording | str | os.PathLike[str],
        *,
        speed: float = 1.0,
        in_step: bool = False,
        **options: Any,
    ) -> Self:
        """A server that does to each client what the server of a recording did, at the recorded times.

        Each connection gets the next recorded one; when there are no more, 503. `speed`: how many times faster.
        `in_step`: an answer to messages of the client waits for as many messages. `options`: as of the class, but for
        `faults`, `handler` and what the recording knows. Raises `InvalidRecording`.
        """
        from ._replay import ReplayPlan  # noqa: PLC0415 - it imports this module's connections

        return cls(**{**ReplayPlan(recording, speed=speed, in_step=in_step).options, **options})

    def __repr__(self) -> str:
        where = "unstarted" if self._port == 0 else self.url
        listening = "listening" if self.is_listening else "refusing"
        return (
            f"<{type(self).__name__} {where} {listening} sockets={len(self._sockets)} ghosts={self.ghosts}"
            f" received_dropped={self.received_dropped} {self.counts!r}>"
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    # Address

    @property
    def port(self) -> int:
        """The port. Raises RuntimeError as long as port 0 hasn't become a real one."""
        if self._port == 0:
            raise RuntimeError("the server has no port before start()")
        return self._port

    @property
    def url(self) -> str:
        """`ws://host:port/`, or `wss://` with `ssl`. Raises RuntimeError as `port` does."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ws' if self._ssl is None else 'wss'}://{host}:{self.port}/"

    @property
    def is_listening(self) -> bool:
        """True if TCP connections are accepted now."""
        return self._listener is not None

    # Starting and stopping

    async def start(self) -> None:
        """Listen, on the same port as before if there was one. Idempotent.

        Raises OSError if the port is taken.
        """
        if self._listener is not None:
            return
        # One address family, as a name with several addresses would get several ports.
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        if self._ssl is not None:
            tls = TlsListener(self._ssl, self._accepted, self.counters, self.start_task)
            self._port = tls.listen(self.host, self._port, family, _BACKLOG)
            self._listener = tls
            return
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._accepted, self.host, self._port, family=family, backlog=_BACKLOG)
        self._port = server.sockets[0].getsockname()[1]
        self._listener = server

    async def stop_listening(self, *, kill: bool = False) -> None:
        """Refuse new TCP connections until `start()`. Existing ones stay, or are reset with `kill`."""
        listener, self._listener = self._listener, None
        if isinstance(listener, TlsListener):
            await listener.aclose()
        elif listener is not None:
            # An accepted socket becomes a connection within two turns of the loop. CPython 3.11's asyncio.Server leaks
            # those that are on the way when it is closed, so it first accepts no more.
            for listening in listener.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            for _ in range(2):
                await asyncio.sleep(0)
            listener.close()
            # uvloop closes the listening socket one turn of the loop later.
            await asyncio.sleep(0)
        if kill:
            self.kill_connections()

    async def restart(self, code: int | None = None, reason: str = "") -> None:
        """End every connection, then listen again on the same port. Counts, ghosts and faults are kept.

        Without `code` the connections are reset, as when a process dies; with it, they get a close handshake.
        """
        await self.stop_listening()
        await self._end_all(code, reason)
        await self.start()

    async def aclose(self, code: int = 1001) -> None:
        """Stop listening, close all WebSockets with `code`, reset the rest at `close_timeout`. Idempotent."""
        await self.stop_listening()
        await self._end_all(code, "")

    async def _end_all(self, code: int | None, reason: str) -> None:
        for connection in list(self._sockets.values()):
            if connection.phase is not ConnectionPhase.OPEN or connection.is_unresponsive:
                connection.kill()
        if code is not None:
            await self.close_connections(code, reason)
        self.kill_connections()
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self.close_timeout)
        self.kill_connections()  # connections accepted meanwhile
        await asyncio.wait_for(self._no_sockets.wait(), self.close_timeout + 1.0)

    def kill_connections(self) -> int:
        """Reset (RST) every TCP connection at once, upgraded or not; return their number."""
        for connection in self._sockets.values():
            connection.kill()
        return len(self._sockets)

    async def close_connections(self, code: int | None = 1000, reason: str = "") -> int:
        """Do a close handshake with every open WebSocket; return their number.

        Bounded by `close_timeout`. Raises ValueError for a code or reason that must not be sent.
        """
        connections = self.connections
        await asyncio.gather(*(connection.close(code, reason) for connection in connections))
        return len(connections)

    # Counters and connections

    @property
    def counts(self) -> Counts:
        """A frozen snapshot of the counts in the present window."""
        return self.counters.snapshot()

    def reset_counts(self) -> None:
        """Start a fresh window: totals at zero, high-water marks at the present level."""
        self.counters.reset()

    async def wait_until(self, predicate: Callable[[Counts], bool], timeout: float | None = 5.0) -> Counts:
        """Wait until the counts satisfy `predicate`, and return them. Every change of the counts is checked.

        Raises TimeoutError, with the counts in its text, after `timeout` seconds (None: never).
        """
        return await self.counters.wait_until(predicate, timeout)

    @property
    def connections(self) -> list[FaultyConnection]:
        """The WebSockets open now, oldest first."""
        return list(self._open.values())

    @property
    def history(self) -> list[FaultyConnection]:
        """The WebSockets that were ever open, oldest first, with what each has received; the last 1000."""
        return list(self._history)

    @property
    def pending(self) -> list[FaultyConnection]:
        """The connections whose upgrade request is unanswered, oldest first."""
        return [c for c in self._sockets.values() if c.phase is ConnectionPhase.ANSWERING]

    @property
    def received(self) -> list[Data]:
        """The messages received on all connections, oldest first; bounded by `received_limit`."""
        return self._received.list()

    @property
    def received_dropped(self) -> int:
        """Number of messages that `received` has lost to its limit."""
        return self._received.dropped

    # Sending

    async def send(self, message: Data, *, to: FaultyConnection | None = None) -> None:
        """Send to one WebSocket: `to`, or else the newest one open.

        Raises LookupError when none is open, and what `FaultyConnection.send()` raises.
        """
        connections = self.connections
        if to is None and not connections:
            raise LookupError("no WebSocket is open")
        await (to or connections[-1]).send(message)

    async def broadcast(self, message: Data) -> int:
        """Send to every open WebSocket that still takes messages; return their number."""
        ready = [connection for connection in self.connections if connection.can_send]
        for connection in ready:
            connection.send_nowait(message)
        await asyncio.gather(*(connection.drain() for connection in ready))
        return len(ready)

    def _accepted(self) -> FaultyConnection:
        self.counters.count("tcp_accepted")
        self._numbers += 1
        return FaultyConnection(self, self._numbers)
