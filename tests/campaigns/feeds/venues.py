"""The six venues of the feeds soak: what they send, how they break, and what they saw."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from onesocket.testing import ConnectionLimit, Fault, MessageLimit
from onesocket.testing._faulty_connection import FaultyConnection
from onesocket.testing.services import (
    AlpacaVenue,
    BinanceVenue,
    Envelope,
    GraphQLVenue,
    HomeAssistantVenue,
    KrakenVenue,
    SlackVenue,
    Venue,
    VenueEvent,
)
from tests.campaigns.harness.sockets import held_by_a_process

from .accounts import BOOK_SYMBOL, CONTROL_PACE, KEYS, OVERLAP, REFUSED, ROTATION_AGE, SYMBOLS, book_key, numbered_key
from .checks import Report, digest
from .schedule import ALPACA, BINANCE, GRAPHQL, HOME_ASSISTANT, KRAKEN, ROTATING, SLACK, fate_of

_PAIR_SLACK: Final = 15.0
"""Seconds that login, subscriptions and close of a rotation may take, besides its overlap."""
_UNRESPONSIVE_SECONDS: Final = (2.0, 6.0)
_PACE_WINDOW: Final = 1.5
_ANSWER_DELAY: Final = 0.1
_PRICES: Final = 30
_LIMITS: Final = frozenset({"message_limit", "auth_timeout", "init_timeout", "stream_limit", "symbol_limit"})
"""Limits that no fault excuses; a place of an account may still be a ghost's."""


class SoakVenue:
    """One venue: numbered feeds, a book, faults, and its own checks."""

    def __init__(self, service: str, venue: Venue[Any], seed: int, report: Report) -> None:
        self.service = service
        self.venue = venue
        self.numbers: dict[str, int] = {}
        """The last number of each key."""
        self.digests: dict[int | None, set[int]] = {}
        """Digests of the book, by its number; None: those of a book without numbers."""
        self.declared = 0
        """Rotations that were called for, and are under way."""
        self.most_sockets = 0
        self.longest_pair = 0.0
        self.pairs = 0
        self.is_calm = False
        self.in_doubt = 0
        """Messages beyond the pace, after a stall of this process: they may have come at the pace."""
        self._stalls: deque[tuple[float, float]] = deque(maxlen=10_000)
        self._seed = seed
        self._report: Report = lambda text: report(f"venue {service}: {text}")
        self._random = random.Random(f"{seed} {service}")
        self._connections: list[FaultyConnection] = []
        self._refusals = 0
        self._pair_since: float | None = None
        self._checked_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = itertools.cycle(range(KEYS + 1))
        venue.faults = self._choose

    # --- what the venue sends -----------------------------------------------------------------------------------------

    def feed(self) -> None:
        """Send the next message."""
        turn = next(self._turns)
        if turn == KEYS:
            if book_key(self.service) is not None:
                self._push_book()
            return
        key = numbered_key(self.service, 0 if self.service == SLACK else turn)
        number = self.numbers[key] = self.numbers.get(key, 0) + 1
        self.venue.disorder = None if self.is_calm or self.service == SLACK else fate_of(self._seed, key, number)
        self._push(key, SYMBOLS[turn], number)

    def _push(self, key: str, symbol: str, number: int) -> None:
        match self.venue:
            case AlpacaVenue():
                self.venue.push({"T": "t", "S": symbol, "i": number, "p": 1.5, "s": 1})
            case BinanceVenue():
                self.venue.push(key, {"e": "trade", "s": symbol, "t": number, "p": "1.5", "q": "1", "m": False})
            case KrakenVenue():
                self.venue.push("trade", symbol, {"side": "buy", "price": 1.5, "qty": 1.0, "trade_id": number})
            case HomeAssistantVenue():
                self.venue.push(key, {"n": number})
            case GraphQLVenue():
                self.venue.push(key, {"key": key, "n": number})
            case SlackVenue():
                self.venue.push({"n": number})
            case _:
                raise TypeError(self.venue)

    def _push_book(self) -> None:
        bids, asks = ([self._level(base) for _ in range(self._random.randint(0, 2))] for base in (100, 140))
        self.venue.disorder = None if self.is_calm else fate_of(self._seed, "book", self._random.randrange(10**6))
        if isinstance(self.venue, BinanceVenue):
            self.venue.push_depth(BOOK_SYMBOL, bids=bids, asks=asks, updates=self._random.randint(1, 3))
        elif isinstance(self.venue, KrakenVenue):
            self.venue.push_book(BOOK_SYMBOL, bids=bids, asks=asks)
        number, content = self.book()
        self.digests.setdefault(number, set()).add(content)

    def _level(self, base: int) -> tuple[str, str]:
        quantity = "0.00000000" if self._random.random() < 0.3 else f"{self._random.uniform(0.001, 9):.8f}"
        return f"{base + self._random.randrange(_PRICES)}.5", quantity

    def book(self) -> tuple[int | None, int]:
        """Number and digest of the book."""
        if isinstance(self.venue, BinanceVenue):
            snapshot = self.venue.snapshot(BOOK_SYMBOL, 5_000)
            return snapshot["lastUpdateId"], digest(snapshot["bids"], snapshot["asks"])
        assert isinstance(self.venue, KrakenVenue)
        book = self.venue.book(BOOK_SYMBOL)
        return None, digest(book.bids(10), book.asks(10))

    # --- faults -------------------------------------------------------------------------------------------------------

    def strike(self, fault: dict[str, Any]) -> None:
        """Break something."""
        match fault["fault"]:
            case "restart":
                self._start(self._restart(fault["seconds"]))
                return
            case "end of lifetime":
                self._start(self._rotate(fault["seconds"] + 3 * OVERLAP))
                return
            case "refuse":
                self._refusals = fault["count"]
                self.venue.kill_connections()
                return
            case "end of streams":
                key = SYMBOLS[fault["reader"] % KEYS]
                assert isinstance(self.venue, GraphQLVenue)
                if fault["count"] == 1:
                    self.venue.fail(key, "gone")
                else:
                    self.venue.complete(key)
                return
            case _:
                pass
        for session in self.venue.sessions:
            self._strike_connection(session.connection, fault)

    def _strike_connection(self, connection: FaultyConnection, fault: dict[str, Any]) -> None:
        match fault["fault"]:
            case "kill":
                connection.kill()
            case "close":
                connection.close_nowait(fault["code"], "soak")
            case "drop":
                connection.strike(Fault.accept_then_drop())
            case "half-open" | "stop reading":
                (connection.go_silent if fault["fault"] == "half-open" else connection.stop_reading)()
                low, high = _UNRESPONSIVE_SECONDS
                self._later(low + (high - low) * fault["seconds"] / 2, connection.kill)
            case _:
                raise ValueError(fault)

    async def _restart(self, seconds: float) -> None:
        await self.venue.stop_listening(kill=True)
        await asyncio.sleep(seconds)
        await self.venue.start()

    async def _rotate(self, notice: float) -> None:
        await self.venue.rotate(notice=notice)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            call()

        self._start(wait())

    async def calm(self) -> None:
        """End every fault, also those that would show only later."""
        self.is_calm = True
        self._refusals = 0
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        for connection in self.venue.connections:
            if connection.is_unresponsive:
                connection.kill()

    # --- sockets ------------------------------------------------------------------------------------------------------

    def _choose(self, connection: FaultyConnection) -> Fault | None:
        others = self.held()
        self._connections.append(connection)
        self.most_sockets = max(self.most_sockets, 1 + len(others))
        if len(others) > 1 or (others and not self._is_declared(others[0])):
            self._report(f"a socket too many: {connection!r} beside {others!r}")
        if self._refusals:
            self._refusals -= 1
            return Fault.refuse(503)
        return None

    def _is_declared(self, other: FaultyConnection) -> bool:
        """Return True if a connection is in the declared window of a rotation."""
        if self.service not in ROTATING:
            return False
        opened = other.opened_at
        is_old = self.service == BINANCE and opened is not None and self._now() - opened > 0.85 * ROTATION_AGE
        is_announced = self.venue.ledger.of(VenueEvent.ANNOUNCED, connection=other.number)
        return bool(self.declared or is_old or is_announced)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def held(self) -> list[FaultyConnection]:
        """The connections whose client's end a process holds."""
        self._connections = [each for each in self._connections if held_by_a_process(each)]
        return list(self._connections)

    def stalled(self, begin: float, end: float) -> None:
        """Note that nothing was counted between two times: what had come meanwhile seems to come at once."""
        self._stalls.append((begin, end))

    def watch(self) -> None:
        """Measure how long two are open at once."""
        now = time.monotonic()
        if len(self.held()) < 2:
            self._pair_since = None
            return
        if self._pair_since is None:
            self._pair_since = now
            self.pairs += 1
        seconds = now - self._pair_since
        self.longest_pair = max(self.longest_pair, seconds)
        if seconds > OVERLAP + _PAIR_SLACK:
            self._report(f"two connections at once for {seconds:.1f} s")
            self._pair_since = now

    # --- the end ------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Look into the ledger."""
        ledger = self.venue.ledger
        for entry in ledger.of(VenueEvent.LIMIT_EXCEEDED):
            if entry.at <= self._checked_at or entry.key not in _LIMITS:
                continue
            if entry.key == "message_limit" and any(
                begin < entry.at and end > entry.at - _PACE_WINDOW for begin, end in self._stalls
            ):
                self.in_doubt += 1
            else:
                self._report(f"limit exceeded: {entry}")
        self._checked_at = self._now()
        if self.venue.counts.protocol_errors:
            self._report(f"{self.venue.counts.protocol_errors} errors of protocol")
        open_envelopes = self.open_envelopes()
        if open_envelopes or ledger.totals[VenueEvent.UNANSWERED]:
            self._report(f"{len(open_envelopes)} envelopes were not acknowledged, such as {open_envelopes[:1]}")

    def open_envelopes(self) -> list[Envelope]:
        """Return the envelopes of Slack whose acknowledgement the venue has not taken."""
        envelopes = self.venue.envelopes.values() if isinstance(self.venue, SlackVenue) else ()
        return [each for each in envelopes if not each.is_acknowledged]


def make_venues(seed: int, report: Report) -> dict[str, SoakVenue]:
    """All six, with short times."""
    pace = MessageLimit(CONTROL_PACE, per=1.0)
    ghosts = ConnectionLimit(max_connections=1, ghost_seconds=1.0, ghost_seconds_after_close=0.3)
    kept = 20_000
    venues: dict[str, Venue[Any]] = {
        ALPACA: AlpacaVenue(account_limit=ghosts, message_limit=pace, refused=[REFUSED], ledger_limit=kept),
        BINANCE: BinanceVenue(
            refused=[f"{REFUSED.lower()}@trade"],
            ping_interval=5.0,
            pong_timeout=20.0,
            lifetime=2 * ROTATION_AGE,
            notice=2.0,
            ledger_limit=kept,
        ),
        KRAKEN: KrakenVenue(message_limit=pace, refused=[REFUSED], ledger_limit=kept),
        HOME_ASSISTANT: HomeAssistantVenue(
            commands={"soak/echo": lambda fields: fields["value"]}, message_limit=pace, ledger_limit=kept
        ),
        GRAPHQL: GraphQLVenue(
            queries={"echo": lambda variables: {"value": variables["value"]}}, message_limit=pace, ledger_limit=kept
        ),
        SLACK: SlackVenue(ack_timeout=2.0, retries=10_000, lifetime=60.0, notice=3.0, ledger_limit=kept),
    }
    for venue in venues.values():
        venue.answer_delay = _ANSWER_DELAY
    return {service: SoakVenue(service, venue, seed, report) for service, venue in venues.items()}


@contextlib.asynccontextmanager
async def running(venues: dict[str, SoakVenue]) -> AsyncIterator[None]:
    """Start them, and end them."""
    async with contextlib.AsyncExitStack() as stack:
        for venue in venues.values():
            await stack.enter_async_context(venue.venue)
        yield
