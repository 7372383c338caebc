"""Fakes of Binance's market data streams, spot and USDⓈ-M futures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, Unpack, cast
from urllib.parse import parse_qs, urlsplit

from .._faults import Fault, MessageLimit
from .._faulty_connection import FaultyConnection
from ._http_api import ApiRequest
from ._ledger import LedgerEntry, VenueEvent
from ._levels import LevelText, PriceLevels
from ._session import VenueSession
from ._venue import Venue, VenueOptions

_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_MAX_ID_TEXT: Final = 36
_DAY: Final = 86_400.0

SnapshotHook = Callable[[str, dict[str, Any]], dict[str, Any] | None]
"""Called with the symbol and the snapshot of each request; returns what is sent, or None for HTTP status 503."""


class BinanceSession(VenueSession["BinanceVenue"]):
    """One connection to a `BinanceVenue`. Its keys are the names of streams: `btcusdt@depth`."""

    def __init__(self, venue: BinanceVenue, connection: FaultyConnection) -> None:
        super().__init__(venue, connection)
        target = urlsplit(connection.request_path)
        self.combined = target.path.strip("/") == "stream"
        """Data come with the name of their stream."""
        names = parse_qs(target.query).get("streams", [""])[0] if self.combined else target.path[len("/ws/") :]
        for name in names.split("/"):
            if name:
                self.subscribe(name)

    def received(self, message: Any) -> None:
        """Take a request with a method and an id."""
        request = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        method, ident = request.get("method"), request.get("id")
        if method is None:
            self.fail(2, "Invalid request: missing field `method` at line 1 column 1")
        elif method not in _METHODS:
            expected = ", ".join(f"`{each}`" for each in _METHODS)
            self.fail(2, f"Invalid request: unknown variant `{method}`, expected one of {expected} at line 1 column 1")
        elif not _is_id(ident):
            self.fail(2, "Invalid request: request ID must be an unsigned integer")
        else:
            self._answer(method, request.get("params", []), ident)

    def malformed(self, error: str) -> None:
        """Refuse a message that is not JSON."""
        self.fail(3, f"Invalid JSON: {error}")

    def fail(self, code: int, text: str, **fields: Any) -> None:
        """Send an error."""
        self.refuse({"code": code, "msg": text, **fields}, reason=text)

    def render(self, subscription: Any, data: Any) -> Any:
        """Return the data, with the name of the stream where streams are combined."""
        return {"stream": subscription, "data": data} if self.combined else data

    def announce(self) -> None:
        """Send `serverShutdown`."""
        event = {"e": "serverShutdown", "E": milliseconds()}
        self.note(VenueEvent.ANNOUNCED)
        self.send({"stream": "!serverShutdown", "data": event} if self.combined else event)

    def _answer(self, method: str, params: Any, ident: Any) -> None:
        result: Any = None
        match method, params:
            case "LIST_SUBSCRIPTIONS", _:
                result = list(self.keys)
            case "GET_PROPERTY", ["combined"]:
                result = self.combined
            case "SET_PROPERTY", ["combined", bool(value)]:
                self.combined = value
            case "SET_PROPERTY", ["combined", _]:
                return self.fail(1, "Invalid value type: expected Boolean")
            case (("SET_PROPERTY" | "GET_PROPERTY"), [str(), *_]):
                return self.fail(0, "Unknown property", id=ident)
            case (("SET_PROPERTY" | "GET_PROPERTY"), _):
                return self.fail(2, "Invalid request: property name must be a string")
            case "SUBSCRIBE", [*names] if all(isinstance(name, str) for name in names):
                refusal = self._refusal(names)
                if refusal is not None:
                    return self.refuse({"code": 2, "msg": refusal, "id": ident}, key=",".join(names), reason=refusal)
                for name in names:
                    self.subscribe(name)
            case "UNSUBSCRIBE", [*names] if all(isinstance(name, str) for name in names):
                for name in names:
                    self.unsubscribe(name)
            case _:
                return self.fail(2, "Invalid request: params must be a list of strings")
        return self.send({"result": result, "id": ident})

    def _refusal(self, names: list[str]) -> str | None:
        refused = [name for name in names if {name, name.partition("@")[0]} & self.venue.refused]
        if refused:
            return f"Invalid request: unknown stream {refused[0]}"
        if len({*self.keys, *names}) > self.venue.stream_limit:
            self.note(VenueEvent.LIMIT_EXCEEDED, "stream_limit")
            return f"Invalid request: more than {self.venue.stream_limit} streams"
        return None


class BinanceVenue(Venue[BinanceSession]):
    """Binance's spot streams: requests with ids, combined streams, the pace of control messages, 24 h, the book.

    - `stream_limit`: most streams of a connection.
    - `on_snapshot(symbol, snapshot)`: called for each depth snapshot asked for at `depth_url`; returns the snapshot to
      send (an old one, for example), or None for an error (503).

    `url` is the raw endpoint; `stream_url(…)` names streams, raw or combined. `push("btcusdt@trade", {…})` sends data;
    `push_depth` changes the venue's book of a symbol and sends the update to `<symbol>@depth` and
    `<symbol>@depth@100ms`. `snapshot(symbol)` and an HTTP GET of `depth_url` give the book with its `lastUpdateId`.

    ```
    async with BinanceVenue() as venue:
        venue.push_depth("BTCUSDT", bids=[("100.0", "1.5")], asks=[("100.5", "2.0")])
        …  # a client subscribes to btcusdt@depth at venue.url, and fetches venue.depth_url + "?symbol=BTCUSDT"
        venue.push_depth("BTCUSDT", bids=[("100.0", "0")], updates=3)
        await venue.rotate(notice=1.0)  # serverShutdown, and the end
    ```

    Facts, from "WebSocket Streams for Binance"
    (https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md, as of 2026-07): the paths and
    the wrapping of combined streams; 24 h; `serverShutdown`; a PING every 20 s, and the end without a PONG within a
    minute; 5 messages per second, PINGs and PONGs included, beyond which the connection is closed; 1024 streams; the
    requests, their ids (64-bit integer, text of at most 36 characters, null) and the errors with their texts;
    `depthUpdate` with `U` and `u`, and the snapshot with `lastUpdateId`.

    Not confirmed by it: the close codes (here 1008 beyond the pace, 1001 at the end); the answer to a stream that does
    not exist or is one too many (here an error 2 with the request's id); the path of other addresses (here 404). Not
    faked: the limit of new connections per IP, `timeUnit`, user data streams.
    """

    path = "ws"
    has_api = True
    depth_path: ClassVar[str] = "/api/v3/depth"
    default_options: ClassVar[VenueOptions] = {
        "message_limit": MessageLimit(5, per=1.0, pings=True),
        "lifetime": _DAY,
        "ping_interval": 20.0,
        "pong_timeout": 60.0,
    }

    def __init__(
        self, *, stream_limit: int = 1024, on_snapshot: SnapshotHook | None = None, **options: Unpack[VenueOptions]
    ) -> None:
        super().__init__(**self.with_defaults(options))
        self.stream_limit = stream_limit
        self.on_snapshot = on_snapshot
        self._books: dict[str, PriceLevels] = {}
        self._update_ids: dict[str, int] = {}

    def new_session(self, connection: FaultyConnection) -> BinanceSession:
        """Return the session of a new connection."""
        return BinanceSession(self, connection)

    def admit(self, connection: FaultyConnection) -> Fault | None:
        """Accept `/ws`, `/ws/<stream>` and `/stream`."""
        path = urlsplit(connection.request_path).path.strip("/")
        return None if path.partition("/")[0] == "ws" or path == "stream" else Fault.refuse(404)

    def stream_url(self, *streams: str, combined: bool = True) -> str:
        """Return the address with these streams in it."""
        base = self.url.removesuffix(self.path)
        names = "/".join(streams)
        return f"{base}stream?streams={names}" if combined else f"{base}ws/{names}"

    @property
    def depth_url(self) -> str:
        """The address of depth snapshots, without the query: `symbol`, and `limit` if it is not 100."""
        return self.api_url + self.depth_path

    def push(self, stream: str, data: Any) -> int:
        """Send data to the subscribers of a stream; return the number of connections."""
        return self.distribute(data, stream)

    def push_depth(
        self, symbol: str, *, bids: Iterable[LevelText] = (), asks: Iterable[LevelText] = (), updates: int = 1
    ) -> int:
        """Change the book of a symbol by so many updates, and send them as one `depthUpdate`; return the connections.

        A level is the text of its price and its quantity, in which zero removes the level.
        """
        symbol, bids, asks = symbol.upper(), list(bids), list(asks)
        self.book(symbol).change(bids, asks)
        last = self._update_ids.get(symbol, 0)
        self._update_ids[symbol] = last + updates
        event = {
            "e": "depthUpdate",
            "E": milliseconds(),
            "s": symbol,
            "U": last + 1,
            "u": last + updates,
            **self.depth_fields(last),
            "b": bids,
            "a": asks,
        }
        stream = f"{symbol.lower()}@depth"
        return self.distribute(event, stream, f"{stream}@100ms")

    def depth_fields(self, last: int) -> dict[str, Any]:  # noqa: ARG002 - for the subclass
        """Return the fields that depth updates of this service have besides; `last` is the `u` of the one before."""
        return {}

    def book(self, symbol: str) -> PriceLevels:
        """Return the venue's book of a symbol."""
        return self._books.setdefault(symbol.upper(), PriceLevels())

    def snapshot(self, symbol: str, limit: int = 100) -> dict[str, Any]:
        """Return the book of a symbol as the service's depth snapshot."""
        book = self.book(symbol)
        update_id = self._update_ids.get(symbol.upper(), 0)
        return {"lastUpdateId": update_id, "bids": book.bids(limit), "asks": book.asks(limit)}

    def answer_http(self, request: ApiRequest) -> tuple[int, Any]:
        """Answer a request for a depth snapshot."""
        symbol, limit = request.query.get("symbol", ""), request.query.get("limit", "100")
        if request.path != self.depth_path:
            return 404, {"code": 0, "msg": "not found"}
        if symbol not in self._books or not limit.isdecimal():
            return 400, {"code": -1121, "msg": "Invalid symbol."}
        book = self.snapshot(symbol, int(limit))
        snapshot = book if self.on_snapshot is None else self.on_snapshot(symbol, book)
        if snapshot is None:
            return 503, {"code": -1000, "msg": "unavailable"}
        self.ledger.note(LedgerEntry(self.time(), 0, VenueEvent.SNAPSHOT, symbol, str(snapshot["lastUpdateId"])))
        return 200, snapshot


class BinanceFuturesVenue(BinanceVenue):
    """Binance's USDⓈ-M futures streams: a `BinanceVenue` with other limits, and with `pu` in its depth updates.

    Facts, from "Websocket Market Streams"
    (https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams) and "How to manage
    a local order book correctly" below it: 10 messages per second; a PING every 3 minutes, and the end without a PONG
    within 10; 1024 streams; 24 h; `pu` is the `u` of the update before.

    Not confirmed by them: whether PINGs and PONGs count in the pace (here they do not); `serverShutdown`, which the
    page of the spot streams has.
    """

    depth_path: ClassVar[str] = "/fapi/v1/depth"
    default_options: ClassVar[VenueOptions] = {
        "message_limit": MessageLimit(10, per=1.0),
        "lifetime": _DAY,
        "ping_interval": 180.0,
        "pong_timeout": 600.0,
    }

    def depth_fields(self, last: int) -> dict[str, Any]:
        """Return the time of the transaction, and `pu`."""
        return {"T": milliseconds(), "pu": last}


def milliseconds() -> int:
    """Return the time of the clock in milliseconds since 1970."""
    return int(time.time() * 1000)


def _is_id(ident: object) -> bool:
    if isinstance(ident, str):
        return ident.isalnum() and len(ident) <= _MAX_ID_TEXT
    return ident is None or (isinstance(ident, int) and not isinstance(ident, bool) and -(2**63) <= ident < 2**63)
