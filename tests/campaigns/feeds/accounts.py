"""Accounts that the readers share: how to join each of them, and what a reader reads there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from onesocket import Client, Pace, ReconnectPolicy, Rotation
from onesocket.services import alpaca, binance, graphql, home_assistant, kraken, slack

from .schedule import ALPACA, BINANCE, GRAPHQL, HOME_ASSISTANT, KRAKEN, SLACK

OVERLAP: Final = 0.5
"""Seconds for which both connections of a rotation deliver."""
ROTATION_AGE: Final = 45.0
KEYS: Final = 4
"""Numbered keys of each venue."""
SYMBOLS: Final = tuple(f"S{number}" for number in range(KEYS))
BOOK_SYMBOL: Final = "BOOK"
REFUSED: Final = "OOPS"
CONTROL_PACE: Final = 20
"""Messages of a second at venues that have no limit of their own."""
POLICY: Final = ReconnectPolicy(initial=0.2, cap=2.0, unreachable_cap=1.0, busy_delay=1.0, stable_after=3.0)
_LIVENESS: Final[Mapping[str, Any]] = {"ping_interval": 3.0, "ping_timeout": 4.0}


@dataclass(frozen=True)
class Account:
    """The address of a venue, and that of its HTTP side."""

    service: str
    url: str
    api: str

    def join_options(self) -> dict[str, Any]:
        """The options of `join()`."""
        options: dict[str, Any] = {"reconnect": POLICY, **_LIVENESS}
        pace = Pace(CONTROL_PACE, per=1.0)
        match self.service:
            case "alpaca":
                rotation = Rotation(identity=_trade, overlap=OVERLAP)
                return options | {
                    "token": "key:secret",
                    "protocol": alpaca.protocol(),
                    "pace": pace,
                    "rotation": rotation,
                    "key": ALPACA,
                }
            case "binance":
                rotation = binance.rotation(age=ROTATION_AGE, overlap=OVERLAP)
                return options | {"protocol": binance.protocol(), "rotation": rotation, "key": BINANCE}
            case "kraken":
                return options | {"protocol": kraken.protocol(), "pace": pace, "key": KRAKEN}
            case "home-assistant":
                protocol = home_assistant.protocol()
                return options | {"token": "token", "protocol": protocol, "pace": pace, "key": HOME_ASSISTANT}
            case "graphql":
                return options | {"protocol": graphql.protocol(), "pace": pace, "key": GRAPHQL}
            case _:
                return {"client_factory": self._slack_client, "key": SLACK}

    def _slack_client(self) -> Client[slack.Message]:
        return Client(
            slack.connection_url(post, "xapp-token", open_url=self.api),
            protocol=slack.protocol(),
            rotation=slack.rotation(overlap=OVERLAP),
            reconnect=POLICY,
            **_LIVENESS,
        )


def _trade(message: Any) -> Hashable:
    return (message.symbol, message.id) if isinstance(message, alpaca.Trade) else None


async def post(url: str, headers: Mapping[str, str]) -> bytes:
    """A POST request without a body; returns the answer's."""
    async with httpx.AsyncClient(trust_env=False, timeout=5.0) as http:
        return (await http.post(url, headers=headers)).content


def numbered_key(service: str, index: int) -> str:
    """The key of the `index`-th numbered feed of a venue."""
    symbol = SYMBOLS[index]
    match service:
        case "alpaca":
            return f"trades.{symbol}"
        case "binance":
            return f"{symbol.lower()}@trade"
        case "kraken":
            return f"trade:{symbol}"
        case _:
            return symbol


def book_key(service: str) -> str | None:
    """The key of the order book of a venue, if it has one."""
    return {BINANCE: f"{BOOK_SYMBOL.lower()}@depth", KRAKEN: f"book:{BOOK_SYMBOL}"}.get(service)


def refused_key(service: str) -> str:
    """A key that the venue refuses."""
    return {ALPACA: f"trades.{REFUSED}", BINANCE: f"{REFUSED.lower()}@trade", KRAKEN: f"trade:{REFUSED}"}[service]


def number_of(message: Any) -> tuple[str, int] | None:
    """Key and number of a message of a numbered feed; None for others."""
    match message:
        case alpaca.Trade():
            return f"trades.{message.symbol}", message.id
        case binance.StreamMessage(data=binance.Trade()):
            return message.stream, message.data.id
        case kraken.TradeMessage():
            return f"trade:{message.data[0].symbol}", message.data[0].trade_id
        case home_assistant.Event():
            fired = message.fired()
            return fired.event_type, fired.data["n"]
        case graphql.Next():
            data = message.payload.data
            return data["key"], data["n"]
        case _:
            return None


def stream_request(service: str, key: str) -> Any:
    """The request that begins a stream of answers."""
    if service == HOME_ASSISTANT:
        return home_assistant.SubscribeEvents(event_type=key)
    return graphql.operation(f"subscription {key} {{ n }}", name=key)


def question(service: str, number: int) -> tuple[Any, Callable[[Any], bool]] | None:
    """A request, and the test of its answer."""
    match service:
        case "home-assistant":
            return {"type": "soak/echo", "value": number}, lambda answer: answer.result == number
        case "graphql":
            request = graphql.operation("query echo { value }", {"value": number}, name="echo")
            return request, lambda answer: answer.payload.data == {"value": number}
        case "kraken":
            return {"method": "ping"}, lambda answer: answer.method == "pong"
        case "binance":
            return {"method": "LIST_SUBSCRIPTIONS"}, lambda answer: isinstance(answer.result, list)
        case _:
            return None
