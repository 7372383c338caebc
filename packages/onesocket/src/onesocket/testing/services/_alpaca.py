"""A fake of Alpaca's real-time market data, version 2."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final, Unpack, cast

import msgspec

from ...wire._handshake import Data
from .._faults import ConnectionLimit, Fault
from .._faulty_connection import FaultyConnection
from ._ledger import VenueEvent
from ._session import VenueSession
from ._venue import Venue, VenueOptions

_CHANNELS: Final = {
    "t": "trades",
    "q": "quotes",
    "b": "bars",
    "u": "updatedBars",
    "d": "dailyBars",
    "s": "statuses",
    "l": "lulds",
    "c": "corrections",
    "x": "cancelErrors",
}
# These come with the trades, and can't be subscribed to by themselves.
_WITH_TRADES: Final = ("corrections", "cancelErrors")
_LIMITED: Final = ("trades.", "quotes.")
_MSGPACK: Final = "application/msgpack"
_TIMESTAMP: Final = -1
"""The type of timestamps in MessagePack."""
_ERRORS: Final = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    500: "internal error",
}


class AlpacaSession(VenueSession["AlpacaVenue"]):
    """One connection to an `AlpacaVenue`. Its keys are `channel.symbol`: `trades.AAPL`, `bars.*`."""

    def __init__(self, venue: AlpacaVenue, connection: FaultyConnection) -> None:
        super().__init__(venue, connection)
        self.is_binary = connection.request_headers.get("Content-Type") == _MSGPACK
        """The client has asked for MessagePack in both directions."""

    def opened(self) -> None:
        """Greet, and take the credentials of the headers, if they are there."""
        self.send([{"T": "success", "msg": "connected"}])
        headers = self.connection.request_headers
        key, secret = headers.get("APCA-API-KEY-ID"), headers.get("APCA-API-SECRET-KEY")
        if key is not None:
            self._authenticate(key, secret)
        if self.account is None:
            self.after(self.venue.auth_timeout, self._time_out)

    def received(self, message: Any) -> None:
        """Take `auth`, `subscribe` or `unsubscribe`."""
        fields = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        match fields.pop("action", None):
            case "auth" if self.account is not None:
                self.fail(403)
            case "auth":
                self._authenticate(fields.get("key"), fields.get("secret"))
            case "subscribe" | "unsubscribe" if self.account is None:
                self.fail(401)
            case "subscribe" | "unsubscribe" as action:
                self._change(action, fields)
            case _:
                self.fail(400)

    def decode(self, message: Data) -> Any:
        """Decode a message of JSON or MessagePack."""
        if self.is_binary and isinstance(message, bytes):
            return msgspec.msgpack.decode(message)
        return super().decode(message)

    def malformed(self, error: str) -> None:
        """Refuse a message that can't be decoded."""
        self.fail(400, error)

    def send_text(self, text: str) -> None:
        """Send a message in the format that the client has asked for."""
        if not self.is_binary:
            super().send_text(text)
        elif self.connection.can_send:
            self.connection.send_nowait(pack(msgspec.json.decode(text)))

    def fail(self, code: int, key: str = "") -> None:
        """Send the error with this code."""
        self.refuse([{"T": "error", "code": code, "msg": _ERRORS[code]}], key=key, reason=f"{code} {_ERRORS[code]}")

    def matching(self, key: str) -> Iterable[Any]:
        """Return the subscription to the symbol, or to all."""
        channel, _, symbol = key.partition(".")
        channel = "trades" if channel in _WITH_TRADES else channel
        wanted = (f"{channel}.{symbol}", f"{channel}.*")
        return next(((each,) for each in wanted if each in self.keys), ())

    def _time_out(self) -> None:
        if self.account is None:
            self.fail(404)
            self.end(1000, "auth timeout")

    def _authenticate(self, key: object, secret: object) -> None:
        feed = self.connection.request_path.partition("?")[0].rpartition("/")[2]
        if not isinstance(key, str) or self.venue.accounts.get(key) != secret:
            self.fail(402)
        elif feed not in self.venue.feeds:
            self.fail(409, feed)
        elif not self.sign_in(key):
            self.fail(406)
            self.end(1000, "connection limit exceeded")
        else:
            self.send([{"T": "success", "msg": "authenticated"}])

    def _change(self, action: str, fields: dict[str, Any]) -> None:
        try:
            channels = msgspec.convert(fields, dict[str, list[str]])
        except msgspec.ValidationError as error:
            self.fail(400, str(error))
            return
        keys = [f"{channel}.{symbol}" for channel, symbols in channels.items() for symbol in symbols]
        if any(channel not in self.venue.channels for channel in channels):
            self.fail(410, ",".join(channels))
            return
        if action == "unsubscribe":
            for key in keys:
                self.unsubscribe(key)
        else:
            refused = sorted({key.partition(".")[2] for key in keys} & self.venue.refused)
            if refused:
                self.fail(400, ",".join(refused))
                return
            counted = {key for key in (*self.keys, *keys) if key.startswith(_LIMITED)}
            if self.venue.symbol_limit is not None and len(counted) > self.venue.symbol_limit:
                self.note(VenueEvent.LIMIT_EXCEEDED, "symbol_limit")
                self.fail(405)
                return
            for key in keys:
                self.subscribe(key)
        self.send([{"T": "subscription", **self._listed()}])

    def _listed(self) -> dict[str, list[str]]:
        listed: dict[str, list[str]] = {channel: [] for channel in self.venue.channels}
        for key in self.keys:
            channel, _, symbol = key.partition(".")
            listed[channel].append(symbol)
        return listed | {channel: listed["trades"] for channel in _WITH_TRADES if "trades" in listed}


class AlpacaVenue(Venue[AlpacaSession]):
    """Alpaca's stream of market data (v2): login by message or headers, one connection for an account, arrays.

    - `accounts`: the secret of each key. A key is an account in the ledger and in `account_limit`, which by default is
      one connection, whose place is free at once.
    - `feeds`: the feeds that the accounts may use, of which the path names one: error 409 for another one.
    - `channels`: the channels of the feed; error 410 for another one.
    - `symbol_limit`: most subscriptions of a connection to trades and quotes (None: any number); error 405.
    - `auth_timeout`: seconds for the login; error 404.
    - `refused`: symbols that are refused with error 400.

    ```
    async with AlpacaVenue(symbol_limit=2) as venue:
        …  # a client of venue.url logs in with {"action": "auth", "key": "key", "secret": "secret"} and subscribes
        await venue.wait_until(lambda _: "trades.AAPL" in venue.keys)
        venue.push({"T": "t", "S": "AAPL", "p": 187.5, "s": 100})
    ```

    Facts, from "WebSocket Stream" (https://docs.alpaca.markets/docs/streaming-market-data): the greeting, the login by
    headers (`APCA-API-KEY-ID`, `APCA-API-SECRET-KEY`) or by message within 10 s, the limit of connections (1 in most
    plans, error 406), the answer to each change with the entire list of subscriptions, control messages in arrays of
    one and data in arrays of any length, and the errors with their texts. Corrections and cancel errors come with the
    trades: the same page's examples. MessagePack with `Content-Type: application/msgpack`, its times as timestamps:
    Alpaca's own SDK (https://github.com/alpacahq/alpaca-py/blob/master/alpaca/data/live/websocket.py). The free plan
    has 30 trades and quotes, and any number of bars: the older page "Real-time data", below
    https://alpaca.markets/deprecated/docs/api-documentation/api-v2/market-data/.

    Not confirmed by them: that the connection is closed after the errors 404 and 406, and with which code (here 1000);
    that 406 is the answer to the login, not to the connection; that trades and quotes count together. Not faked: Basic
    authentication.
    """

    path = "v2/iex"
    rotation_code = 1000
    default_options: ClassVar[VenueOptions] = {"account_limit": ConnectionLimit(max_connections=1)}

    def __init__(
        self,
        *,
        accounts: Mapping[str, str] | None = None,
        feeds: Iterable[str] = ("iex", "test"),
        channels: Iterable[str] = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds"),
        symbol_limit: int | None = 30,
        auth_timeout: float = 10.0,
        **options: Unpack[VenueOptions],
    ) -> None:
        super().__init__(**self.with_defaults(options))
        self.accounts = {"key": "secret"} if accounts is None else dict(accounts)
        self.feeds = frozenset(feeds)
        self.channels = tuple(channels)
        self.symbol_limit = symbol_limit
        self.auth_timeout = auth_timeout

    def new_session(self, connection: FaultyConnection) -> AlpacaSession:
        """Return the session of a new connection."""
        return AlpacaSession(self, connection)

    def admit(self, connection: FaultyConnection) -> Fault | None:
        """Accept any feed; the login tells which are allowed."""
        version, _, feed = connection.request_path.partition("?")[0].strip("/").partition("/")
        return None if version == "v2" and feed else Fault.refuse(404)

    def push(self, *points: Mapping[str, Any]) -> int:
        """Send data points to all connections that want them; return the number of these.

        A point is as in Alpaca's documents: `T` is its kind ("t": a trade), `S` its symbol. A connection gets all its
        points in one array: one message for `disorder`, and one entry of the ledger, with the keys joined by commas.
        Raises KeyError for a point without `S`, or with a `T` that no channel has.
        """
        keyed = [(f"{_CHANNELS[point['T']]}.{point['S']}", point) for point in points]
        disorder_of = self.next_disorder()
        reached = 0
        for session in self.sessions:
            wanted = [(key, point) for key, point in keyed if session.matching(key)]
            if wanted:
                reached += 1
                keys = ",".join(dict.fromkeys(key for key, _ in wanted))
                session.deliver(keys, [point for _, point in wanted], disorder_of(session, keys))
        return reached


def pack(messages: list[dict[str, Any]]) -> bytes:
    """Return messages in MessagePack, their time `t` as a timestamp with nanoseconds."""
    return msgspec.msgpack.encode(
        [message | {"t": _timestamp(message["t"])} if "t" in message else message for message in messages]
    )


def _timestamp(text: str) -> msgspec.msgpack.Ext:
    moment, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{moment}+00:00").timestamp())
    return msgspec.msgpack.Ext(_TIMESTAMP, struct.pack(">Iq", int(fraction.ljust(9, "0")), seconds))
