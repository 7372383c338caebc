"""A fake of Kraken's spot WebSocket, version 2."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Unpack, cast

import msgspec

from .._faulty_connection import FaultyConnection
from ._disorder import Disorder
from ._levels import LevelText, PriceLevels
from ._session import VenueSession
from ._venue import Venue, VenueOptions

_DEPTHS: Final = (10, 25, 100, 500, 1000)
_CHECKED_LEVELS: Final = 10


@dataclass(frozen=True, slots=True)
class _BookUpdates:
    """The update of a book for each depth; None where nothing within it has changed."""

    of_depth: Mapping[int, dict[str, Any] | None]


class KrakenSession(VenueSession["KrakenVenue"]):
    """One connection to a `KrakenVenue`. Its keys are `channel:symbol`: `book:BTC/USD`; for a book, with its depth."""

    def __init__(self, venue: KrakenVenue, connection: FaultyConnection) -> None:
        super().__init__(venue, connection)
        self._last_data = venue.time()
        self._beats = False

    def opened(self) -> None:
        """Send the status."""
        self.send(self.venue.status_message(self.number))

    def received(self, message: Any) -> None:
        """Take `ping`, `subscribe` or `unsubscribe`."""
        time_in = now()
        request = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        method, params = request.get("method"), request.get("params")
        base = {"method": method, "time_in": time_in}
        if "req_id" in request:
            base["req_id"] = request["req_id"]
        match method, params:
            case "ping", _:
                self._answer(base | {"method": "pong", "success": True})
            case (("subscribe" | "unsubscribe"), {"channel": str(channel), "symbol": [*symbols]}) if symbols:
                change = self._subscribe if method == "subscribe" else self._unsubscribe
                for symbol in symbols:
                    change(base, channel, str(symbol), cast("dict[str, Any]", params))
            case _:
                self._fail(base, "Malformed request")

    def malformed(self, error: str) -> None:
        """Refuse a message that is not JSON."""
        self._fail({"method": None, "time_in": now()}, f"Malformed request: {error}")

    def deliver(self, key: str, message: Any, disorder: Disorder | None) -> None:
        """Send data, and put the heartbeat off."""
        self._last_data = self.venue.time()
        super().deliver(key, message, disorder)

    def render(self, subscription: Any, data: Any) -> Any:
        """Return the message for this connection's depth."""
        return data.of_depth[self.keys[subscription]] if isinstance(data, _BookUpdates) else data

    def _answer(self, answer: dict[str, Any]) -> None:
        self.send(answer | {"time_out": now()})

    def _fail(self, base: dict[str, Any], text: str, symbol: str | None = None) -> None:
        fields = base | {"success": False, "error": text} | ({} if symbol is None else {"symbol": symbol})
        self.refuse(fields | {"time_out": now()}, key=symbol or "", reason=text)

    def _subscribe(self, base: dict[str, Any], channel: str, symbol: str, params: dict[str, Any]) -> None:
        key, depth = f"{channel}:{symbol}", params.get("depth", 10)
        wants_snapshot = params.get("snapshot", True)
        if {key, symbol} & self.venue.refused:
            self._fail(base, f"Currency pair not supported {symbol}", symbol)
        elif channel == "book" and depth not in _DEPTHS:
            self._fail(base, "Subscription depth not supported", symbol)
        elif key in self.keys:
            self.subscribe(key, self.keys[key])  # noted as a repetition
            self._fail(base, "Already subscribed", symbol)
        else:
            result = {"channel": channel, "snapshot": wants_snapshot, "symbol": symbol}
            self.subscribe(key, depth)
            self._answer(base | {"success": True, "result": result | ({"depth": depth} if channel == "book" else {})})
            if channel == "book" and wants_snapshot:
                self.deliver(key, self.venue.snapshot(symbol, depth), None)
            self._start_heartbeat()

    def _unsubscribe(self, base: dict[str, Any], channel: str, symbol: str, _: dict[str, Any]) -> None:
        if self.unsubscribe(f"{channel}:{symbol}"):
            self._answer(base | {"success": True, "result": {"channel": channel, "symbol": symbol}})
        else:
            self._fail(base, "Subscription Not Found", symbol)

    def _start_heartbeat(self) -> None:
        if not self._beats and self.venue.heartbeat_interval is not None:
            self._beats = True
            self._last_data = self.venue.time()
            self.after(self.venue.heartbeat_interval, lambda: self._beat(self.venue.heartbeat_interval))

    def _beat(self, interval: float | None) -> None:
        if interval is None or not self.keys:
            self._beats = False
            return
        if self.venue.time() - self._last_data >= interval:
            self._last_data = self.venue.time()
            self.send({"channel": "heartbeat"})
        due = self._last_data + interval - self.venue.time()
        self.after(due, lambda: self._beat(self.venue.heartbeat_interval))


class KrakenVenue(Venue[KrakenSession]):
    """Kraken's spot WebSocket v2, public channels: status, one answer for each symbol, heartbeats, books with checksum.

    - `refused`: symbols (`BTC/USD`) or keys (`book:BTC/USD`) that are refused.
    - `heartbeat_interval`: seconds without data after which a connection with a subscription gets a heartbeat; None for
      none.
    - `system`: the status of the trading engine; `push_status` changes it.

    `push("ticker", "BTC/USD", {…})` sends data of any channel; `push_book` changes the venue's book of a symbol, and
    sends each subscriber what changed within its depth, with the checksum. There is no sequence number in the public
    channels: a hole (`disorder`) shows in the checksum.

    ```
    async with KrakenVenue(refused=["BAD/USD"]) as venue:
        venue.push_book("BTC/USD", bids=[("45283.5", "0.10000000")], asks=[("45285.2", "0.00100000")])
        …  # {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"]}, "req_id": 1}
        venue.disorder = [Disorder.HOLE]
        venue.push_book("BTC/USD", bids=[("45283.5", "0")])
    ```

    Facts: the status on connect ("Status",
    https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/status.md); heartbeats about once a second in the
    absence of other updates, from the first subscription on ("Heartbeat",
    https://docs.kraken.com/api/docs/websocket-v2/heartbeat/); `ping` and `pong` ("Ping",
    https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ping.md); the book, its depths, and an answer for
    each symbol ("Book (Level 2)", https://docs.kraken.com/api/docs/websocket-v2/book); the checksum over the top 10
    levels, and books cut to their depth ("Book checksum (WebSocket v2)",
    https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2.md).

    Not confirmed by them: the texts of refusals. "Currency pair not supported …" and "Already subscribed" stand in
    public recordings of the service; "Subscription depth not supported" and "Subscription Not Found" are those of
    version 1; "Malformed request" is made up. Not faked: private channels, snapshots of other channels than `book`, the
    limit of the message rate (`message_limit` closes instead).
    """

    path = "v2"

    def __init__(
        self, *, heartbeat_interval: float | None = 1.0, system: str = "online", **options: Unpack[VenueOptions]
    ) -> None:
        super().__init__(**self.with_defaults(options))
        self.heartbeat_interval = heartbeat_interval
        self.system = system
        self._books: dict[str, PriceLevels] = {}

    def new_session(self, connection: FaultyConnection) -> KrakenSession:
        """Return the session of a new connection."""
        return KrakenSession(self, connection)

    def status_message(self, number: int) -> dict[str, Any]:
        """Return the message of the channel `status` for a connection."""
        data = {"api_version": "v2", "connection_id": number, "system": self.system, "version": "2.0.0"}
        return {"channel": "status", "type": "update", "data": [data]}

    def push_status(self, system: str) -> None:
        """Change the status of the trading engine, and tell all connections."""
        self.system = system
        for session in self.sessions:
            session.send(self.status_message(session.number))

    def push(self, channel: str, symbol: str, data: Mapping[str, Any]) -> int:
        """Send data of a channel to the subscribers of a symbol; return the number of connections."""
        message = {"channel": channel, "type": "update", "data": [{"symbol": symbol, **data}]}
        return self.distribute(message, f"{channel}:{symbol}")

    def push_book(self, symbol: str, *, bids: Iterable[LevelText] = (), asks: Iterable[LevelText] = ()) -> int:
        """Change the book of a symbol, and send the update; return the number of connections that have its book.

        A level is the text of its price and its quantity, in which zero removes the level.
        """
        book, key = self.book(symbol), f"book:{symbol}"
        depths = {session.keys[key] for session in self.sessions if key in session.keys}
        before = {depth: (book.bids(depth), book.asks(depth)) for depth in depths}
        book.change(bids, asks)
        updates: dict[int, dict[str, Any] | None] = {}
        for depth, (old_bids, old_asks) in before.items():
            changed_bids = _difference(old_bids, book.bids(depth), book.has_bid)
            changed_asks = _difference(old_asks, book.asks(depth), book.has_ask)
            is_empty = not changed_bids and not changed_asks
            updates[depth] = None if is_empty else self._book_message("update", symbol, changed_bids, changed_asks)
        return self.distribute(_BookUpdates(updates), key)

    def book(self, symbol: str) -> PriceLevels:
        """Return the venue's book of a symbol."""
        return self._books.setdefault(symbol, PriceLevels())

    def snapshot(self, symbol: str, depth: int = 10) -> dict[str, Any]:
        """Return the snapshot that a new subscriber of this depth gets."""
        book = self.book(symbol)
        return self._book_message("snapshot", symbol, book.bids(depth), book.asks(depth))

    def checksum(self, symbol: str) -> int:
        """Return the checksum of a symbol's book."""
        book = self.book(symbol)
        return book_checksum(book.bids(_CHECKED_LEVELS), book.asks(_CHECKED_LEVELS))

    def _book_message(self, kind: str, symbol: str, bids: list[LevelText], asks: list[LevelText]) -> dict[str, Any]:
        data: dict[str, Any] = {
            "symbol": symbol,
            "bids": [_wire_level(level) for level in bids],
            "asks": [_wire_level(level) for level in asks],
            "checksum": self.checksum(symbol),
        }
        if kind == "update":
            data["timestamp"] = now()
        return {"channel": "book", "type": kind, "data": [data]}


def book_checksum(bids: Iterable[LevelText], asks: Iterable[LevelText]) -> int:
    """Return Kraken's CRC32 of a book's ten best levels of each side, best first."""
    numbers = [number for level in (*asks, *bids) for number in level]
    return zlib.crc32("".join(number.replace(".", "").lstrip("0") for number in numbers).encode())


def now() -> str:
    """Return the time of the clock as Kraken writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _wire_level(level: LevelText) -> dict[str, msgspec.Raw]:
    # Numbers in full precision, trailing zeros included, as the checksum needs them.
    return {"price": msgspec.Raw(level[0].encode()), "qty": msgspec.Raw(level[1].encode())}


def _difference(before: list[LevelText], after: list[LevelText], remains: Callable[[str], bool]) -> list[LevelText]:
    """Levels that take a client's book from `before` to `after`; those that fall out of its depth aren't told."""
    old = dict(before)
    removed = [(price, "0") for price, _ in before if not remains(price)]
    return removed + [level for level in after if old.get(level[0]) != level[1]]
