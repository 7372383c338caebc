"""The messages of Binance's market data streams, as msgspec structs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, TypeAlias

import msgspec
from msgspec import field


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a stream."""

    numbered_by: ClassVar[str] = ""
    """The field that numbers the messages of a stream, where the service has one."""


class Event(Data, frozen=True, kw_only=True):
    """Data that have a time: milliseconds since 1970."""

    event_time: int = field(name="E", default=0)


class Trade(Event, frozen=True, kw_only=True):
    """A trade: `<symbol>@trade`."""

    numbered_by: ClassVar[str] = "id"
    symbol: str = field(name="s")
    id: int = field(name="t")
    price: Decimal = field(name="p")
    quantity: Decimal = field(name="q")
    trade_time: int = field(name="T", default=0)
    is_buyer_maker: bool = field(name="m", default=False)


class AggTrade(Trade, frozen=True, kw_only=True):
    """The trades of one taker order, as one: `<symbol>@aggTrade`."""

    id: int = field(name="a")
    first_trade_id: int = field(name="f", default=0)
    last_trade_id: int = field(name="l", default=0)


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """The prices and the volume of an interval."""

    start_time: int = field(name="t")
    close_time: int = field(name="T")
    interval: str = field(name="i")
    open: Decimal = field(name="o")
    close: Decimal = field(name="c")
    high: Decimal = field(name="h")
    low: Decimal = field(name="l")
    volume: Decimal = field(name="v")
    quote_volume: Decimal = field(name="q")
    trade_count: int = field(name="n", default=0)
    is_closed: bool = field(name="x", default=False)


class Kline(Event, frozen=True, kw_only=True):
    """The present candle: `<symbol>@kline_<interval>`."""

    symbol: str = field(name="s")
    candle: Candle = field(name="k")


class MiniTicker(Event, frozen=True, kw_only=True):
    """Statistics of 24 hours: `<symbol>@miniTicker`, and a tuple of them in `!miniTicker@arr`."""

    symbol: str = field(name="s")
    open: Decimal = field(name="o")
    close: Decimal = field(name="c")
    high: Decimal = field(name="h")
    low: Decimal = field(name="l")
    volume: Decimal = field(name="v")
    quote_volume: Decimal = field(name="q")


class Ticker(MiniTicker, frozen=True, kw_only=True):
    """Statistics of 24 hours or a window: `<symbol>@ticker`, `<symbol>@ticker_<window>`, and tuples in `…@arr`."""

    change: Decimal = field(name="p")
    change_percent: Decimal = field(name="P")
    average: Decimal = field(name="w")
    bid: Decimal | None = field(name="b", default=None)
    """None with a window, and in futures."""
    bid_quantity: Decimal | None = field(name="B", default=None)
    ask: Decimal | None = field(name="a", default=None)
    ask_quantity: Decimal | None = field(name="A", default=None)
    trade_count: int = field(name="n", default=0)


class BookTicker(Event, frozen=True, kw_only=True):
    """The best bid and the best ask: `<symbol>@bookTicker`. Spot streams give no time."""

    numbered_by: ClassVar[str] = "update_id"
    update_id: int = field(name="u")
    symbol: str = field(name="s")
    bid: Decimal = field(name="b")
    bid_quantity: Decimal = field(name="B")
    ask: Decimal = field(name="a")
    ask_quantity: Decimal = field(name="A")


class AveragePrice(Event, frozen=True, kw_only=True):
    """The average price: `<symbol>@avgPrice`."""

    symbol: str = field(name="s")
    interval: str = field(name="i")
    price: Decimal = field(name="w")


class MarkPrice(Event, frozen=True, kw_only=True):
    """The mark price of futures: `<symbol>@markPrice`, and a tuple of them in `!markPrice@arr`."""

    symbol: str = field(name="s")
    price: Decimal = field(name="p")
    index_price: Decimal = field(name="i")
    funding_rate: str = field(name="r", default="")
    """Empty where there is none."""
    next_funding_time: int = field(name="T", default=0)


PriceLevel: TypeAlias = tuple[Decimal, Decimal]
"""A price, and the whole quantity at it."""


class Depth(Data, frozen=True, kw_only=True):
    """The best levels of a book: `<symbol>@depth<levels>` of spot streams, and the snapshot over HTTP."""

    numbered_by: ClassVar[str] = "last_update_id"
    last_update_id: int = field(name="lastUpdateId")
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]


class DepthUpdate(Event, frozen=True, kw_only=True):
    """Changes of a book: `<symbol>@depth`; in futures the best levels of it, too: `<symbol>@depth<levels>`."""

    numbered_by: ClassVar[str] = "last"
    symbol: str = field(name="s")
    first: int = field(name="U")
    last: int = field(name="u")
    previous: int | None = field(name="pu", default=None)
    """`last` of the update before; in futures only."""
    bids: tuple[PriceLevel, ...] = field(name="b")
    asks: tuple[PriceLevel, ...] = field(name="a")


class ServerShutdown(Event, frozen=True, kw_only=True):
    """The announcement that the server closes the connection."""


class StreamMessage(msgspec.Struct, frozen=True):
    """The data of one stream."""

    stream: str
    """The name of the stream, which is the key: `btcusdt@trade`."""
    data: Any
    """One of the structs, a tuple of them for `…@arr`, or plain objects for streams that have no type here."""

    @property
    def channel(self) -> str:
        """The name of the stream without symbol and speed: `trade`, `kline_1m`, `depth`, `!miniTicker`."""
        return channel_of_stream(self.stream)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request."""

    id: int | str | None = None
    result: Any = None
    code: int | None = None
    """The number of the error; None: the request succeeded."""
    msg: str = ""

    @property
    def refusal(self) -> str | None:
        """The text of the error, with its code; None if there is none."""
        return None if self.code is None else f"{self.msg} ({self.code})"


Message: TypeAlias = StreamMessage | Answer
"""All messages."""


def channel_of_stream(stream: str) -> str:
    """Return the name of a stream without symbol and speed."""
    first, _, rest = stream.partition("@")
    return first if first.startswith("!") else rest.partition("@")[0]
