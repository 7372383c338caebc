"""The environment of one scenario: a server, a runtime directory, and the member processes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from onesocket.sharing.host import Listing, listing
from onesocket.testing import FaultyConnection, FaultyServer
from onesocket.wire._handshake import Data
from tests.campaigns.harness.ledger import DeliveryLedger
from tests.campaigns.harness.report import shortened
from tests.campaigns.harness.socket_census import IS_AVAILABLE, ClientSockets, SocketCensus, list_client_sockets
from tests.campaigns.harness.worker_process import WorkerFailure, WorkerProcess

from .findings import ChaosFindings
from .numbered import RESEND_EVERY

HOST_OPTIONS: Final[dict[str, Any]] = {"heartbeat": 0.2, "stopped_after": 0.7, "attach_timeout": 0.5}
_WORKER: Final = Path(__file__).with_name("worker.py")
FEED_EVERY: Final = 0.004
SEND_EVERY: Final = 0.02

T = TypeVar("T", bound=WorkerProcess)


class CountingServer(FaultyServer):
    """Has the kernel's table of sockets read at each accept."""

    census: SocketCensus | None = None

    def attached(self, connection: FaultyConnection) -> None:
        """Note that the TCP connection is there."""
        super().attached(connection)
        if self.census is not None:
            self.census.take()


class ChaosHarness:
    """Use it with ``async with``; whatever was started is ended with it."""

    server_type: type[CountingServer] = CountingServer

    def __init__(self, findings: ChaosFindings, **host: Any) -> None:
        self.findings = findings
        self.host = {**HOST_OPTIONS, **host}
        self.ledger = DeliveryLedger(RESEND_EVERY)
        self.members: list[WorkerProcess] = []
        self.events: list[dict[str, Any]] = []
        self.news = asyncio.Event()
        self.number = 0
        """Of the last message that the server sent."""
        self.padding = ""
        self.unfed: set[int] = set()
        """Connections on which the server sends no more: a message to a socket that is closed resets it."""
        self.server = self.server_type(echo=False, on_message=self._arrived, received_limit=1, overflow="drop_newest")
        self.on_control: Callable[[FaultyConnection], None] | None = None
        """Called for each message about subscriptions."""
        self.counted: list[str] = []
        self._names = 0
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        base = self._stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp", prefix="onesocket-chaos-"))
        self.base = Path(base)
        self.directory = self.base / "run"
        self.directory.mkdir(mode=0o700)
        await self._stack.enter_async_context(self.server)
        if IS_AVAILABLE:
            self.server.census = self.new_census()
            self._stack.enter_context(self.server.census)
        self._stack.push_async_callback(self._end)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def new_census(self) -> SocketCensus:
        """A census of those, which hasn't begun."""
        return SocketCensus(self.list_sockets)

    def list_sockets(self) -> ClientSockets:
        """The sockets to the server, at the clients' end."""
        return list_client_sockets(self.server.port)

    # --- processes --------------------------------------------------------------------------------------------------

    async def start(self, count: int = 1, *, python: str = sys.executable, **setup: Any) -> list[WorkerProcess]:
        """New processes, which haven't joined yet."""
        given = {"url": self.server.url, "host": {**self.host, "directory": str(self.directory)}, **setup}
        names: list[str] = []
        for _ in range(count):
            self._names += 1
            names.append(f"p{self._names}")
        new = await asyncio.gather(*(self._start(name, python, given) for name in names))
        return list(new)

    async def add(self, starting: Coroutine[Any, Any, T]) -> T:
        """A process of another kind, which is ended with the rest."""
        process = await starting
        self.members.append(process)
        return process

    async def _start(self, name: str, python: str, given: dict[str, Any]) -> WorkerProcess:
        """One process, when it is ready for orders."""
        setup = {"name": name, **given}
        process = await self.add(
            WorkerProcess.start(_WORKER, setup, name=name, on_event=self._heard, collect_errors=True, python=python)
        )
        await process.until(lambda event: event["event"] == "ready")
        return process

    async def join(self, members: list[WorkerProcess], *, send_every: float = 0.0, padding: str = "") -> None:
        """Have them join."""
        for member in members:
            self.ledger.sender(member.name)
        await asyncio.gather(*(member.do("join", send_every=send_every, padding=padding) for member in members))

    async def shared(self) -> Listing:
        """The status of the one connection, as its owner reports it."""
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            for one in await asyncio.to_thread(listing, str(self.directory)):
                if one.answers:
                    return one
            await asyncio.sleep(0.01)
        raise WorkerFailure("the connection had no owner for 10 s")

    async def owner(self) -> tuple[WorkerProcess, int]:
        """The process that holds the connection, and the epoch."""
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            shared = await self.shared()
            for member in self.members:
                if member.pid == shared.pid and member.is_alive and shared.epoch:
                    return member, shared.epoch
            await asyncio.sleep(0.01)
        raise WorkerFailure("the owner is none of ours")

    async def wait_received(
        self, members: list[WorkerProcess], what: str, *, epoch: int = 0, within: float
    ) -> list[float]:
        """Wait until each member has received a message sent from now on (after `epoch`); returns the times."""
        number = self.number
        asked = [member.tell("until", number=number, epoch=epoch) for member in members]
        try:
            answers = await asyncio.gather(
                *(member.result(order, within) for member, order in zip(members, asked, strict=True))
            )
        except WorkerFailure as error:
            raise WorkerFailure(f"no message {what}: {error}") from None
        return [float(answer["at"]) for answer in answers]

    async def settle(self, members: list[WorkerProcess], within: float = 40.0) -> list[dict[str, Any]]:
        """Wait until each message of these processes has its fate; returns their counts."""
        answers: list[dict[str, Any]] = await asyncio.gather(
            *(member.do("settle", timeout=within, within=within + 10.0) for member in members)
        )
        for member, answer in zip(members, answers, strict=True):
            self.ledger.sender(member.name).accepted = answer["accepted"]
        return answers

    async def leave(self, member: WorkerProcess, **order: Any) -> None:
        """Order a process to leave, and check its exit status."""
        answer = await member.do("leave", **order)
        sender = self.ledger.sender(member.name)
        sender.accepted, sender.left = answer["accepted"], True
        status = await member.ended()
        self.findings.require(status == 0, f"{member.name} left with status {status}")

    async def interrupt(self, member: WorkerProcess) -> None:
        """Press Ctrl-C in a process's terminal while it does something, and check its exit status."""
        self.ledger.sender(member.name).left = True
        member.signal(signal.SIGINT)
        status = await member.ended()
        self.findings.require(status == member.interrupted, f"{member.name} ended by Ctrl-C with status {status}")

    async def wait_events(self, wanted: Callable[[], bool], what: str, within: float = 10.0) -> None:
        """Wait until the events of the members satisfy `wanted`. Raises `WorkerFailure`."""
        try:
            async with asyncio.timeout(within):
                while not wanted():
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise WorkerFailure(f"no {what} within {within:g} s; the last events: {self.events[-8:]}") from None

    async def event(self, wanted: dict[str, Any], within: float = 10.0) -> None:
        """Wait for an event with these values."""
        await self.wait_events(
            lambda: any(wanted.items() <= event.items() for event in self.events), f"event {wanted}", within
        )

    # --- the server -------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def feeding(self, every: float = FEED_EVERY) -> AsyncIterator[None]:
        """The server sends numbered messages at a steady rate."""
        task = asyncio.get_running_loop().create_task(self._feed(every))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def feed_once(self) -> None:
        """Send one message on each open connection."""
        ready = [
            connection
            for connection in self.server.connections
            if connection.can_send and connection.number not in self.unfed
        ]
        if ready:
            self.number += 1
            for connection in ready:
                connection.send_nowait(f"{self.number} {self.padding}")

    async def _feed(self, every: float) -> None:
        while True:
            self.feed_once()
            await asyncio.sleep(every)

    def _arrived(self, connection: FaultyConnection, message: Data) -> None:
        text = str(message)
        if not text.startswith("{"):
            self.ledger.arrived(text, connection.number)
        elif self.on_control is not None:  # about subscriptions, which the connection's own ledger counts
            self.on_control(connection)

    def _heard(self, member: WorkerProcess, event: dict[str, Any]) -> bool:
        if event["event"] == "fate":
            self.ledger.fate(event["sender"], event["number"], event["fate"])
            return True
        if event["event"] == "wrong":
            self.findings.broken(f"{member.name}: {event['text']}")
        self.events.append(event)
        self.news.set()
        return False

    # --- the end ----------------------------------------------------------------------------------------------------

    def check_sockets(self, most: int = 1, *, half_open: int = 0, server_notices: bool = True) -> None:
        """Check the counts of the server, and those of the kernel at the client's end.

        `half_open`: how many may be given up before the answer to their upgrade request.
        `server_notices`: the server reads all the time. One that doesn't learns of no end, and its kernel is asked.
        """
        counts = self.server.counts
        sockets = counts.most_sockets if server_notices else self.server.most_established
        if (census := self.server.census) is not None:
            what = "sockets at once in the kernel's table"
            found = "; ".join(census.overlaps)
            self.findings.require(census.peak <= most, f"{census.peak} {what}, {most} allowed: {found}")
            self.findings.figure(f"{what}, at most", f"{census.peak} ({census.listings} listings)")
        self.findings.require(sockets <= most, f"{sockets} sockets at once, {most} allowed")
        self.findings.require(
            counts.premature_closes <= half_open, f"{counts.premature_closes} sockets given up half-open"
        )
        self.findings.require(counts.protocol_errors == 0, f"{counts.protocol_errors} errors of protocol")

    def check_deliveries(self) -> None:
        """Compare the fates that senders report with the messages that arrived."""
        tally = self.ledger.balance()
        for text in shortened(tally.wrong):
            self.findings.broken(text)
        counted = Counter(tally.fates)
        counted["arrived more than once, with resend=True"] = tally.repeated
        counted["DeliveryUnknown, and had arrived"] = tally.unknown_arrived
        counted["cancelled, and had arrived"] = tally.cancelled_arrived
        counted["sent, and lost in the kernel with a connection that was cut off"] = tally.lost.total()
        for name, count in counted.most_common():
            if count:
                self.findings.figure(f"messages to it: {name}", count)

    async def _end(self) -> None:
        for member in self.members:
            await member.end()
            if member.errors:
                self.findings.broken(f"{member.name} wrote to stderr: {member.errors[-2000:]}")
