"""Binance's market data streams, spot and USDⓈ-M futures: typed data, requests, rotation and order books.

```
async with Client(binance.url(), protocol=binance.protocol(), rotation=binance.rotation()) as client:
    async for message in client.subscribe(keys=["btcusdt@trade", "ethusdt@bookTicker"], gaps=False):
        if isinstance(message.data, binance.Trade):
            print(message.stream, message.data.price)
```

A key is the name of a stream; its channel is the event name, too: ``on("trade", …)``. Answers to requests come by
``client.request({"method": "LIST_SUBSCRIPTIONS"})``; the ids 1 and 2 are those of subscriptions. `Books` keeps the
order books of `<symbol>@depth` streams, and `rotation()` replaces a connection before its 24 hours are over, or as soon
as the service announces its end.

Facts, from "WebSocket Streams for Binance"
(https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md): the addresses, combined streams,
the fields of spot streams, requests and their ids, 24 hours, `serverShutdown`, 1024 streams, and 5 messages a second,
PINGs and PONGs included. From "Websocket Market Streams"
(https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams): the addresses of
futures (since 2026-04, book data have one of their own), 10 messages a second, 24 hours, `pu`. An error stands in the
answer itself or under `error`: the document has the first, programs met the second
(https://github.com/ctubio/Krypto-trading-bot/issues/1121). Not confirmed: PINGs count in futures, too (taken for
granted here); their limit on streams (older documents have 200: give `limit=`); the fields of `MarkPrice`.
`onesocket.testing.services.BinanceVenue` and `BinanceFuturesVenue` fake the service.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ..client._rotation import Rotation
from ..protocols import Json, Pace, Requests, Subscriptions
from ._binance_books import Books
from ._binance_frames import decode_futures, decode_spot
from ._binance_messages import (
    AggTrade,
    Answer,
    AveragePrice,
    BookTicker,
    Candle,
    Data,
    Depth,
    DepthUpdate,
    Event,
    Kline,
    MarkPrice,
    Message,
    MiniTicker,
    PriceLevel,
    ServerShutdown,
    StreamMessage,
    Ticker,
    Trade,
)
from ._fingerprint import with_fingerprint

__all__ = [
    "AggTrade",
    "Answer",
    "AveragePrice",
    "BookTicker",
    "Books",
    "Candle",
    "Data",
    "Depth",
    "DepthUpdate",
    "Event",
    "Kline",
    "MarkPrice",
    "Message",
    "MiniTicker",
    "PriceLevel",
    "ServerShutdown",
    "StreamMessage",
    "Ticker",
    "Trade",
    "channel_of",
    "identity_of",
    "key_of",
    "protocol",
    "rotation",
    "url",
]

Market: TypeAlias = Literal["spot", "futures", "futures-books"]

_ADDRESSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "spot": "wss://stream.binance.com:9443/stream",
        "futures": "wss://fstream.binance.com/market/stream",
        "futures-books": "wss://fstream.binance.com/public/stream",
    }
)


def url(market: Market = "spot") -> str:
    """Return the address of combined streams: `futures-books` has `@depth` and `@bookTicker` of futures."""
    return _ADDRESSES[market]


def protocol(*, futures: bool = False, limit: int | None = 1024) -> Json[Message]:
    """Return the protocol: keys like `btcusdt@trade`, within the service's pace. `limit`: most keys of a connection."""
    made = Json(
        decode=decode_futures if futures else decode_spot,
        event=channel_of,
        pace=Pace(10 if futures else 5, per=1.0, pings=True),
        requests=Requests(refused=_refusal),
        subscriptions=Subscriptions(
            subscribe=_subscribe, unsubscribe=_unsubscribe, key=key_of, requests=True, limit=limit
        ),
    )
    return with_fingerprint(made, __name__, futures, limit)


def rotation(*, age: float = 23 * 3600.0, overlap: float = 1.0) -> Rotation:
    """Return the rotation: before the 24 hours of a connection are over, and when its end is announced."""
    return Rotation(identity=identity_of, age=age, announced=_announces_end, overlap=overlap)


def channel_of(message: Any) -> str | None:
    """Return the channel of a message, or None for answers."""
    return message.channel if isinstance(message, StreamMessage) else None


def key_of(message: Any) -> str | None:
    """Return the key of a message, the name of its stream, or None for answers."""
    return message.stream if isinstance(message, StreamMessage) else None


def identity_of(message: Any) -> Hashable:
    """Return the identity of a message over two connections: its number in the stream, or else what it says."""
    if not isinstance(message, StreamMessage):
        return None
    numbered_by: str = getattr(message.data, "numbered_by", "")
    number = getattr(message.data, numbered_by) if numbered_by else msgspec.json.encode(message.data)
    return message.stream, number


def _announces_end(message: Any) -> bool:
    return isinstance(message, StreamMessage) and isinstance(message.data, ServerShutdown)


def _subscribe(keys: list[Any]) -> dict[str, Any]:
    return {"method": "SUBSCRIBE", "params": keys}


def _unsubscribe(keys: list[Any]) -> dict[str, Any]:
    return {"method": "UNSUBSCRIBE", "params": keys}


def _refusal(message: Any) -> str | None:
    return message.refusal if isinstance(message, Answer) else None
