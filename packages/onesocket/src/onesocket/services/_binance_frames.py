"""The frames of Binance's combined streams: data are decoded by the name of their stream, as some say no type."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from ..errors import DecodeError
from ._binance_messages import (
    AggTrade,
    Answer,
    AveragePrice,
    BookTicker,
    Depth,
    DepthUpdate,
    Kline,
    MarkPrice,
    Message,
    MiniTicker,
    ServerShutdown,
    StreamMessage,
    Ticker,
    Trade,
    channel_of_stream,
)

# The type of a channel's data; what is after "_" (an interval, a window) makes no difference.
_SPOT_TYPES: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "trade": Trade,
        "aggTrade": AggTrade,
        "kline": Kline,
        "miniTicker": MiniTicker,
        "!miniTicker": tuple[MiniTicker, ...],
        "ticker": Ticker,
        "!ticker": tuple[Ticker, ...],
        "bookTicker": BookTicker,
        "!bookTicker": BookTicker,
        "avgPrice": AveragePrice,
        "depth": DepthUpdate,
        **dict.fromkeys(("depth5", "depth10", "depth20"), Depth),
        "!serverShutdown": ServerShutdown,
    }
)
_FUTURES_TYPES: Final[Mapping[str, Any]] = MappingProxyType(
    {
        **_SPOT_TYPES,
        **dict.fromkeys(("depth5", "depth10", "depth20"), DepthUpdate),
        "markPrice": MarkPrice,
        "!markPrice": tuple[MarkPrice, ...],
    }
)


class _StreamFrame(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    result: Any = None
    code: int | None = None
    msg: str = ""
    error: Answer | None = None


_decode_frame = msgspec.json.Decoder(_StreamFrame).decode


@functools.lru_cache(maxsize=4096)
def _decoder_of(stream: str, *, futures: bool) -> msgspec.json.Decoder[Any]:
    types = _FUTURES_TYPES if futures else _SPOT_TYPES
    return msgspec.json.Decoder(types.get(channel_of_stream(stream).partition("_")[0], Any))


def _decode(data: str | bytes, *, futures: bool) -> Message:
    frame = _decode_frame(data)
    if frame.stream:
        return StreamMessage(frame.stream, _decoder_of(frame.stream, futures=futures).decode(frame.data))
    error = frame.error or frame
    if frame.id is msgspec.UNSET and error.code is None:
        raise DecodeError("neither data of a combined stream nor an answer: connect to the address of binance.url()")
    ident = None if isinstance(frame.id, msgspec.UnsetType) else frame.id
    return Answer(id=ident, result=frame.result, code=error.code, msg=error.msg)


def decode_spot(data: str | bytes) -> Message:
    """Decode a frame of the spot streams."""
    return _decode(data, futures=False)


def decode_futures(data: str | bytes) -> Message:
    """Decode a frame of the streams of futures."""
    return _decode(data, futures=True)
