"""The messages of Kraken's WebSocket v2, as msgspec structs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import field


class BookLevel(msgspec.Struct, frozen=True):
    """A price, and the whole quantity at it: with all digits of the wire, as the checksum needs them."""

    price: Decimal
    qty: Decimal


class BookData(msgspec.Struct, frozen=True, kw_only=True):
    """The levels of a snapshot, or those that have changed."""

    symbol: str
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    checksum: int
    timestamp: str = ""


class TickerData(msgspec.Struct, frozen=True, kw_only=True):
    """The best bid and ask, the last trade, and statistics of 24 hours."""

    symbol: str
    bid: Decimal
    bid_qty: Decimal
    ask: Decimal
    ask_qty: Decimal
    last: Decimal
    volume: Decimal
    vwap: Decimal
    low: Decimal
    high: Decimal
    change: Decimal
    change_pct: Decimal
    timestamp: str = ""


class TradeData(msgspec.Struct, frozen=True, kw_only=True):
    """A trade."""

    symbol: str
    side: str
    """Of the taker: `buy` or `sell`."""
    price: Decimal
    qty: Decimal
    ord_type: str = ""
    trade_id: int = 0
    timestamp: str = ""


class CandleData(msgspec.Struct, frozen=True, kw_only=True):
    """The prices and the volume of an interval."""

    symbol: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    vwap: Decimal
    trades: int
    volume: Decimal
    interval_begin: str
    interval: int
    """In minutes."""


class StatusData(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the trading engine: `online`, `maintenance`, `cancel_only`, `post_only`."""

    system: str
    api_version: str = ""
    connection_id: int = 0
    version: str = ""


class KrakenMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel"):
    """A message of a channel."""


class ChannelMessage(KrakenMessage, frozen=True, kw_only=True):
    """A message of a channel with data."""

    type: str = "update"
    """`snapshot`, the first of a subscription, or `update`."""


class BookMessage(ChannelMessage, frozen=True, kw_only=True, tag="book"):
    """A snapshot or an update of one book."""

    data: tuple[BookData, ...]


class TickerMessage(ChannelMessage, frozen=True, kw_only=True, tag="ticker"):
    """The ticker of one symbol."""

    data: tuple[TickerData, ...]


class TradeMessage(ChannelMessage, frozen=True, kw_only=True, tag="trade"):
    """Trades of one symbol; the last 50 in a snapshot."""

    data: tuple[TradeData, ...]


class CandleMessage(ChannelMessage, frozen=True, kw_only=True, tag="ohlc"):
    """Candles of one symbol."""

    data: tuple[CandleData, ...]


class StatusMessage(ChannelMessage, frozen=True, kw_only=True, tag="status"):
    """The status, at the beginning and when it changes."""

    data: tuple[StatusData, ...]


class HeartbeatMessage(KrakenMessage, frozen=True, kw_only=True, tag="heartbeat"):
    """A sign of life."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription that an answer is about."""

    channel: str = ""
    symbol: str = ""


class KrakenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request: to one that subscribes, an answer for each symbol."""

    method: str | None
    success: bool = True
    error: str | None = None
    req_id: int | None = None
    result: Result = field(default_factory=Result)
    symbol: str = ""
    """The symbol that was refused."""


SymbolMessage: TypeAlias = BookMessage | TickerMessage | TradeMessage | CandleMessage
"""All messages of one symbol."""
Data: TypeAlias = SymbolMessage | StatusMessage | HeartbeatMessage
"""All messages of channels."""
Message: TypeAlias = Data | KrakenAnswer
"""All messages."""

REQUEST_IDS: Final[Mapping[str, int]] = MappingProxyType({"book": 1, "ticker": 2, "trade": 3, "ohlc": 4})
"""The id of requests about a channel: a refusal has it, and doesn't name the channel."""

_decode_data: Callable[[str | bytes], Data] = msgspec.json.Decoder(Data).decode
_decode_answer = msgspec.json.Decoder(KrakenAnswer).decode


def decode(data: str | bytes) -> Message:
    """Decode a frame: answers have a method, where data have a channel."""
    try:
        return _decode_data(data)
    except msgspec.ValidationError as error:
        try:
            return _decode_answer(data)
        except msgspec.ValidationError:
            raise error from None


def make_request(method: str, channel: str, symbols: list[str], **params: Any) -> dict[str, Any]:
    """Make the message that begins or ends the subscriptions to symbols of a channel."""
    return {
        "method": method,
        "params": {"channel": channel, "symbol": symbols, **params},
        "req_id": REQUEST_IDS[channel],
    }
