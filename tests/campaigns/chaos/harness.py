"""One act's world: a server of its own, a runtime directory of its own, and the processes."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self

from onesocket.sharing.host import Listing, listing
from onesocket.testing import FaultyConnection, FaultyServer
from onesocket.wire._handshake import Data

from .findings import ChaosFindings
from .ledger import DeliveryLedger
from .member_process import ChaosFailure, MemberProcess

HOST_OPTIONS: Final[dict[str, Any]] = {"heartbeat": 0.2, "stopped_after": 0.7, "attach_timeout": 0.5}
FEED_EVERY: Final = 0.004
SEND_EVERY: Final = 0.02


class ChaosHarness:
    """Use it with ``async with``; whatever was started is ended with it."""

    def __init__(self, findings: ChaosFindings, **host: Any) -> None:
        self.findings = findings
        self.host = {**HOST_OPTIONS, **host}
        self.ledger = DeliveryLedger()
        self.members: list[MemberProcess] = []
        self.events: list[dict[str, Any]] = []
        self.news = asyncio.Condition()
        self.number = 0
        """Of the last message that the server sent."""
        self.padding = ""
        self.server = FaultyServer(echo=False, on_message=self._arrived, received_limit=1, overflow="drop_newest")
        self.counted: list[str] = []
        self._names = 0
        self._stack = contextlib.AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        base = self._stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp", prefix="onesocket-proof-"))
        self.base = Path(base)
        self.directory = self.base / "run"
        self.directory.mkdir(mode=0o700)
        await self._stack.enter_async_context(self.server)
        self._stack.push_async_callback(self._end)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    # --- processes --------------------------------------------------------------------------------------------------

    async def start(self, count: int = 1, **setup: Any) -> list[MemberProcess]:
        """New processes, which haven't joined yet."""
        given = {"url": self.server.url, "host": {**self.host, "directory": str(self.directory)}, **setup}
        names: list[str] = []
        for _ in range(count):
            self._names += 1
            names.append(f"p{self._names}")
        new = await asyncio.gather(*(MemberProcess.start(name, given, self._heard) for name in names))
        self.members += new
        return new

    async def join(self, actors: list[MemberProcess], *, send_every: float = 0.0, padding: str = "") -> None:
        """Have them join."""
        for actor in actors:
            self.ledger.sender(actor.name)
        await asyncio.gather(*(actor.do("join", send_every=send_every, padding=padding) for actor in actors))

    async def shared(self) -> Listing:
        """How the one connection stands, as its owner says."""
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            for one in await asyncio.to_thread(listing, str(self.directory)):
                if one.answers:
                    return one
            await asyncio.sleep(0.01)
        raise ChaosFailure("nobody owned the connection for 10 s")

    async def owner(self) -> tuple[MemberProcess, int]:
        """The process that holds the connection, and the epoch."""
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            shared = await self.shared()
            for actor in self.members:
                if actor.pid == shared.pid and actor.is_alive and shared.epoch:
                    return actor, shared.epoch
            await asyncio.sleep(0.01)
        raise ChaosFailure("the owner is none of ours")

    async def wait_received(
        self, actors: list[MemberProcess], what: str, *, epoch: int = 0, within: float
    ) -> list[float]:
        """Everybody receives something that is sent from now on (on a line after `epoch`); when each did."""
        number = self.number
        asked = [actor.tell("until", number=number, epoch=epoch) for actor in actors]
        answers = await asyncio.gather(
            *(
                actor.answer(future, f"message {what}", within=within)
                for actor, future in zip(actors, asked, strict=True)
            )
        )
        return [float(answer["at"]) for answer in answers]

    async def settle(self, actors: list[MemberProcess], within: float = 40.0) -> list[dict[str, Any]]:
        """The books of these processes, closed."""
        answers: list[dict[str, Any]] = await asyncio.gather(
            *(actor.do("settle", timeout=within, within=within + 10.0) for actor in actors)
        )
        for actor, answer in zip(actors, answers, strict=True):
            self.ledger.sender(actor.name).accepted = answer["accepted"]
        return answers

    async def leave(self, actor: MemberProcess) -> None:
        """Ask it to leave, and see it off."""
        answer = await actor.do("leave")
        page = self.ledger.sender(actor.name)
        page.accepted, page.left = answer["accepted"], True
        status = await actor.ended()
        self.findings.require(status == 0, f"{actor.name} left with status {status}")

    async def event(self, wanted: dict[str, Any], within: float = 10.0) -> dict[str, Any]:
        """What somebody says without being asked."""

        def found() -> dict[str, Any] | None:
            return next((thing for thing in self.events if wanted.items() <= thing.items()), None)

        try:
            async with asyncio.timeout(within), self.news:
                await self.news.wait_for(lambda: found() is not None)
        except TimeoutError:
            raise ChaosFailure(f"nobody said {wanted} within {within:g} s; the last: {self.events[-8:]}") from None
        return found() or {}

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
        """One message to everybody who is connected."""
        ready = [connection for connection in self.server.connections if connection.can_send]
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
        if not text.startswith("{"):  # else it is about subscriptions, which the connection's own ledger counts
            self.ledger.arrived(text, connection.number)

    def _heard(self, actor: MemberProcess, thing: dict[str, Any]) -> None:
        if thing["event"] == "fate":
            self.ledger.fate(thing["sender"], thing["number"], thing["fate"])
        elif thing["event"] == "wrong":
            self.findings.broken(f"{actor.name}: {thing['text']}")
        else:
            self.events.append(thing)
            task = asyncio.get_running_loop().create_task(self._tell())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    # --- the end ----------------------------------------------------------------------------------------------------

    def check_sockets(self, most: int = 1) -> None:
        """What the server has seen in this act."""
        counts = self.server.counts
        self.findings.require(counts.most_sockets <= most, f"{counts.most_sockets} sockets at once, {most} allowed")
        self.findings.require(counts.premature_closes == 0, f"{counts.premature_closes} sockets given up half-open")
        self.findings.require(counts.protocol_errors == 0, f"{counts.protocol_errors} errors of protocol")

    async def _end(self) -> None:
        for actor in self.members:
            await actor.end()
            text = actor.complaints()
            if text:
                self.findings.broken(f"{actor.name} complained: {text[-2000:]}")
