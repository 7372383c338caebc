"""The messages of Alpaca's stream of stocks, as msgspec structs."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import field


class AlpacaMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="T"):
    """A message of the service."""


class DataPoint(AlpacaMessage, frozen=True, kw_only=True):
    """A message of data: of one channel, and of one symbol."""

    channel: ClassVar[str]
    symbol: str = field(name="S")
    time: str = field(name="t", default="")
    """The time in nanoseconds, as text (RFC 3339)."""


class Trade(DataPoint, frozen=True, kw_only=True, tag="t"):
    """A trade."""

    channel: ClassVar[str] = "trades"
    id: int = field(name="i", default=0)
    exchange: str = field(name="x", default="")
    price: float = field(name="p")
    size: float = field(name="s")
    conditions: tuple[str, ...] = field(name="c", default=())
    tape: str = field(name="z", default="")


class Quote(DataPoint, frozen=True, kw_only=True, tag="q"):
    """The best bid and the best ask."""

    channel: ClassVar[str] = "quotes"
    bid_exchange: str = field(name="bx", default="")
    bid_price: float = field(name="bp")
    bid_size: float = field(name="bs")
    ask_exchange: str = field(name="ax", default="")
    ask_price: float = field(name="ap")
    ask_size: float = field(name="as")
    conditions: tuple[str, ...] = field(name="c", default=())
    tape: str = field(name="z", default="")


class Bar(DataPoint, frozen=True, kw_only=True, tag="b"):
    """The prices and the volume of a minute."""

    channel: ClassVar[str] = "bars"
    open: float = field(name="o")
    high: float = field(name="h")
    low: float = field(name="l")
    close: float = field(name="c")
    volume: float = field(name="v")
    trade_count: int = field(name="n", default=0)
    vwap: float = field(name="vw", default=0.0)


class UpdatedBar(Bar, frozen=True, kw_only=True, tag="u"):
    """A bar of a minute that late trades have changed."""

    channel: ClassVar[str] = "updatedBars"


class DailyBar(Bar, frozen=True, kw_only=True, tag="d"):
    """The bar of the day so far."""

    channel: ClassVar[str] = "dailyBars"


class TradingStatus(DataPoint, frozen=True, kw_only=True, tag="s"):
    """A halt, or the end of one."""

    channel: ClassVar[str] = "statuses"
    status_code: str = field(name="sc", default="")
    status_message: str = field(name="sm", default="")
    reason_code: str = field(name="rc", default="")
    reason_message: str = field(name="rm", default="")
    tape: str = field(name="z", default="")


class LimitBand(DataPoint, frozen=True, kw_only=True, tag="l"):
    """The prices between which a symbol may trade (limit up, limit down)."""

    channel: ClassVar[str] = "lulds"
    limit_up: float = field(name="u")
    limit_down: float = field(name="d")
    indicator: str = field(name="i", default="")
    tape: str = field(name="z", default="")


class Correction(DataPoint, frozen=True, kw_only=True, tag="c"):
    """The correction of a trade."""

    channel: ClassVar[str] = "trades"
    exchange: str = field(name="x", default="")
    original_id: int = field(name="oi")
    original_price: float = field(name="op")
    original_size: float = field(name="os")
    original_conditions: tuple[str, ...] = field(name="oc", default=())
    corrected_id: int = field(name="ci")
    corrected_price: float = field(name="cp")
    corrected_size: float = field(name="cs")
    corrected_conditions: tuple[str, ...] = field(name="cc", default=())
    tape: str = field(name="z", default="")


class CancelError(DataPoint, frozen=True, kw_only=True, tag="x"):
    """The cancellation of a trade, or of one that was an error."""

    channel: ClassVar[str] = "trades"
    id: int = field(name="i")
    exchange: str = field(name="x", default="")
    price: float = field(name="p")
    size: float = field(name="s")
    action: str = field(name="a", default="")
    tape: str = field(name="z", default="")


class Success(AlpacaMessage, frozen=True, kw_only=True, tag="success"):
    """A step of the login."""

    msg: str


class ServiceError(AlpacaMessage, frozen=True, kw_only=True, tag="error"):
    """An error of the service."""

    code: int
    msg: str


class SubscriptionList(AlpacaMessage, frozen=True, kw_only=True, tag="subscription"):
    """The answer to each change: all subscriptions of the connection."""

    trades: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    bars: tuple[str, ...] = ()
    updatedBars: tuple[str, ...] = ()  # noqa: N815 - the service's name
    dailyBars: tuple[str, ...] = ()  # noqa: N815
    statuses: tuple[str, ...] = ()
    lulds: tuple[str, ...] = ()


Data = Trade | Quote | Bar | UpdatedBar | DailyBar | TradingStatus | LimitBand | Correction | CancelError
"""All messages of data."""
Message = Data | Success | ServiceError | SubscriptionList
"""All messages."""
