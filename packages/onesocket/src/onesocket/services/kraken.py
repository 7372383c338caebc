"""Kraken's spot market data, WebSocket v2: subscriptions, typed messages, and order books with their checksum.

```
async with Client(kraken.url(), protocol=kraken.protocol(), silence_timeout=5) as client:
    async for message in client.subscribe(keys=["ticker:BTC/USD", "trade:ETH/USD"], gaps=False):
        if isinstance(message, kraken.TickerMessage):
            print(message.data[0].symbol, message.data[0].last)
```

A key is a channel (`book`, `ticker`, `trade`, `ohlc`) and a symbol; the channel is the event name, too:
``on("ticker", …)``. Each symbol of a request is accepted or refused by itself. `Books` keeps the order books. Late
readers of `ticker` and `ohlc` begin with the newest message. The service sends a heartbeat in each second without other
messages, so a `silence_timeout=` of some seconds finds dead connections. ``client.request()`` returns the answer to
`{"method": "ping"}`; the ids 1 to 4 are those of subscriptions.

Facts: the addresses ("Spot WebSocket", https://docs.kraken.com/exchange/api-reference/spot-websocket); "Book (Level 2)"
with its depths (https://docs.kraken.com/api/docs/websocket-v2/book); "Ticker (Level 1)"
(https://docs.kraken.com/api/docs/websocket-v2/ticker); "Trade"
(https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade); "Candles (OHLC)" with its intervals
(https://docs.kraken.com/api/docs/websocket-v2/ohlc); "Heartbeat" and "Ping"
(https://docs.kraken.com/api/docs/websocket-v2/heartbeat and …/ping); the checksum
(https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2). Not confirmed: the form of a refusal, which is
that of public recordings (it names the symbol, not the channel), and a limit on the rate of messages.
`onesocket.testing.services.KrakenVenue` fakes the service.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..errors import InvalidOption
from ..protocols import Json, LastValues, Requests, SubscriptionAnswer, Subscriptions
from ._fingerprint import with_fingerprint
from ._kraken_books import Books
from ._kraken_messages import (
    REQUEST_IDS,
    BookData,
    BookLevel,
    BookMessage,
    CandleData,
    CandleMessage,
    ChannelMessage,
    HeartbeatMessage,
    KrakenAnswer,
    KrakenMessage,
    Message,
    StatusData,
    StatusMessage,
    SymbolMessage,
    TickerData,
    TickerMessage,
    TradeData,
    TradeMessage,
    decode,
    make_request,
)

__all__ = [
    "BookData",
    "BookLevel",
    "BookMessage",
    "Books",
    "CandleData",
    "CandleMessage",
    "ChannelMessage",
    "HeartbeatMessage",
    "KrakenAnswer",
    "KrakenMessage",
    "Message",
    "StatusData",
    "StatusMessage",
    "TickerData",
    "TickerMessage",
    "TradeData",
    "TradeMessage",
    "channel_of",
    "key_of",
    "protocol",
    "url",
]

_DEPTHS: Final = (10, 25, 100, 500, 1000)
_INTERVALS: Final = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
_CHANNELS: Final = {number: channel for channel, number in REQUEST_IDS.items()}
_KEPT: Final = ("ticker", "ohlc")
"""Channels whose newest message is the state."""


def url(*, beta: bool = False) -> str:
    """Return the address of the public channels."""
    return f"wss://{'beta-ws' if beta else 'ws'}.kraken.com/v2"


def protocol(*, depth: int = 10, interval: int = 1) -> Json[Message]:
    """Return the protocol: keys like `book:BTC/USD`. `depth`: levels of books. `interval`: minutes of `ohlc`."""
    for name, value, allowed in (("depth", depth, _DEPTHS), ("interval", interval, _INTERVALS)):
        if value not in allowed:
            raise InvalidOption(f"Kraken: {name} is one of {', '.join(map(str, allowed))}, not {value!r}")
    made = Json(
        decode=decode,
        event=channel_of,
        requests=Requests(id="req_id", make_id=_make_id, refused=_refusal),
        subscriptions=Subscriptions(
            subscribe=_Change("subscribe", depth, interval),
            unsubscribe=_Change("unsubscribe", depth, interval),
            key=key_of,
            ack=_answer,
        ),
        snapshot=LastValues(key=_kept_key),
    )
    return with_fingerprint(made, __name__, depth, interval)


def channel_of(message: Any) -> str | None:
    """Return the channel of a message, or None for answers."""
    return str(type(message).__struct_config__.tag) if isinstance(message, KrakenMessage) else None


def key_of(message: Any) -> str | None:
    """Return the key of a message of one symbol: `book:BTC/USD`."""
    if isinstance(message, SymbolMessage) and message.data:
        return f"{channel_of(message)}:{message.data[0].symbol}"
    return None


def _kept_key(message: Any) -> str | None:
    return key_of(message) if channel_of(message) in _KEPT else None


@dataclass(frozen=True, slots=True)
class _Change:
    """Makes the messages that change subscriptions: one for each channel."""

    method: str
    depth: int
    interval: int

    def __call__(self, keys: list[Any]) -> Iterator[dict[str, Any]]:
        params = {"book": {"depth": self.depth}, "ohlc": {"interval": self.interval}}
        symbols: dict[str, list[str]] = {}
        for key in keys:
            channel, _, symbol = str(key).partition(":")
            if channel not in REQUEST_IDS or not symbol:
                raise InvalidOption(f"Kraken: a key is a channel and a symbol, such as 'ticker:BTC/USD', not {key!r}")
            symbols.setdefault(channel, []).append(symbol)
        for channel, names in symbols.items():
            yield make_request(self.method, channel, names, **params.get(channel, {}))


def _make_id(number: int) -> int:
    return number + len(REQUEST_IDS)


def _refusal(message: Any) -> str | None:
    return message.error if isinstance(message, KrakenAnswer) else None


def _answer(message: Message) -> SubscriptionAnswer | None:
    if not isinstance(message, KrakenAnswer) or message.method != "subscribe":
        return None
    channel = message.result.channel or _CHANNELS.get(message.req_id or 0)
    symbol = message.result.symbol or message.symbol
    is_held = message.success or message.error == "Already subscribed"
    return SubscriptionAnswer([f"{channel}:{symbol}"] if symbol else None, refused=None if is_held else message.error)
