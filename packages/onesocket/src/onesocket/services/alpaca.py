"""Alpaca's real-time market data for stocks, version 2: login, subscriptions and typed messages.

```
async with Client(alpaca.url("iex"), token="KEY_ID:SECRET", protocol=alpaca.protocol()) as client:
    async for message in client.subscribe(keys=["trades.AAPL", "bars.MSFT"]):
        if isinstance(message, alpaca.Trade):
            print(message.symbol, message.price)
```

A key is a channel and a symbol; the channel is the event name, too: ``on("trades", …)``. Corrections and cancel errors
have the key of their trades; `bars.*` is the key of all bars. Most plans allow one connection for an account: share it
with `join`. While another one has its place, attempts end with `ServerBusy`. For a minute after a connection was lost
it may be that one, so attempts follow quickly.

Facts, from "WebSocket Stream" (https://docs.alpaca.markets/docs/streaming-market-data), "Real-time Stock Data"
(https://docs.alpaca.markets/docs/real-time-stock-pricing-data) and, for the fields, Alpaca's own SDK
(https://github.com/alpacahq/alpaca-py/blob/master/alpaca/data/mappings.py). Not confirmed: the fields of
`LimitBand`, and for how long a lost connection has its place.
`onesocket.testing.services.AlpacaVenue` fakes the service.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..errors import InvalidOption, LoginRefused, OnesocketError, ServerBusy
from ..protocols import Json, Login, SubscriptionAnswer, Subscriptions
from ._alpaca_messages import (
    Bar,
    CancelError,
    Correction,
    DailyBar,
    DataPoint,
    LimitBand,
    Message,
    Quote,
    ServiceError,
    SubscriptionList,
    Success,
    Trade,
    TradingStatus,
    UpdatedBar,
)
from ._fingerprint import with_fingerprint

__all__ = [
    "Bar",
    "CancelError",
    "Correction",
    "DailyBar",
    "DataPoint",
    "LimitBand",
    "Message",
    "Quote",
    "ServiceError",
    "SubscriptionList",
    "Success",
    "Trade",
    "TradingStatus",
    "UpdatedBar",
    "channel_of",
    "key_of",
    "protocol",
    "url",
]

_AUTH_TIMEOUT: Final = 404
_CONNECTION_LIMIT: Final = 406
_GHOST_SECONDS: Final = 60.0


def url(feed: str = "iex", *, sandbox: bool = False) -> str:
    """Return the address of a feed: `iex`, `sip`, `delayed_sip`, or `test`, whose one symbol is `FAKEPACA`."""
    return f"wss://stream.data.{'sandbox.' if sandbox else ''}alpaca.markets/v2/{feed}"


def protocol(*, limit: int | None = None) -> Json[Message]:
    """Return the protocol: the login by a token `KEY_ID:SECRET`, and keys like `trades.AAPL`.

    `limit`: most keys of a connection, as of the plan; None leaves it to the service, which refuses more (405).
    """
    made = Json(
        type=Message,
        many=True,
        event=channel_of,
        login=Login(request=_credentials, ready=_is_authenticated, refused=_refusal),
        subscriptions=Subscriptions(
            subscribe=_subscribe, unsubscribe=_unsubscribe, key=key_of, wildcard=_wildcard, ack=_answer, limit=limit
        ),
        ghost_seconds=_GHOST_SECONDS,
    )
    return with_fingerprint(made, __name__, limit)


def channel_of(message: Any) -> str | None:
    """Return the channel that brings a message, or None for messages of none."""
    return message.channel if isinstance(message, DataPoint) else None


def key_of(message: Any) -> str | None:
    """Return the key of a message of data: `trades.AAPL`."""
    return f"{message.channel}.{message.symbol}" if isinstance(message, DataPoint) else None


def _wildcard(key: Any) -> str:
    return f"{str(key).partition('.')[0]}.*"


def _credentials(token: str | None) -> dict[str, str]:
    key, colon, secret = (token or "").partition(":")
    if not colon:
        raise InvalidOption(
            "Alpaca's login needs token='KEY_ID:SECRET': the key's id and its secret, with a colon between"
        )
    return {"action": "auth", "key": key, "secret": secret}


def _is_authenticated(message: Message) -> bool:
    return isinstance(message, Success) and message.msg == "authenticated"


def _refusal(message: Message) -> OnesocketError | None:
    if not isinstance(message, ServiceError):
        return None
    text = f"Alpaca refused the login: {message.msg} ({message.code})"
    if message.code == _CONNECTION_LIMIT:
        remedy = "programs of one account have to share its connection: join(..., scope='host')"
        busy = ServerBusy(f"{text}; {remedy}", reason=message.msg)
        busy.is_connection_limit = True
        return busy
    return LoginRefused(text, retryable=message.code == _AUTH_TIMEOUT)


def _change(action: str, keys: list[Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"action": action}
    for key in keys:
        channel, _, symbol = key.partition(".")
        message.setdefault(channel, []).append(symbol)
    return message


def _subscribe(keys: list[Any]) -> dict[str, Any]:
    return _change("subscribe", keys)


def _unsubscribe(keys: list[Any]) -> dict[str, Any]:
    return _change("unsubscribe", keys)


def _answer(message: Message) -> SubscriptionAnswer | None:
    if isinstance(message, ServiceError):
        return SubscriptionAnswer(refused=f"{message.msg} ({message.code})")
    if isinstance(message, SubscriptionList):
        lists = msgspec.structs.asdict(message)
        return SubscriptionAnswer([f"{channel}.{symbol}" for channel, symbols in lists.items() for symbol in symbols])
    return None
