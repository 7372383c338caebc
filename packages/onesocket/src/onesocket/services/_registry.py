"""The services by name, for the commands: a service is one entry of `SERVICES`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidOption

if TYPE_CHECKING:
    from ..client._options import URLSource
    from ..client._rotation import Rotation
    from ..protocols import Protocol

KRAKEN_CHANNELS: Final = ("book", "ohlc", "ticker", "trade")
_ALPACA_CHANNELS: Final = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds")


def _as_it_is(text: str) -> Hashable:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service as the commands need it.

    Its module has the functions `url` and `protocol`, and perhaps `rotation`: every argument is optional.
    """

    module: str
    """The module's name in `onesocket.services`, which is imported when it is needed."""
    make_protocol: Callable[[], Protocol[Any]] | None = None
    """Makes the protocol; None: the module's function does."""
    keys: str = ""
    """Examples of keys, for messages; empty: the service sends without being asked for keys."""
    key: Callable[[str], Hashable] = _as_it_is
    """The key that a word of a command means. Raises `InvalidOption`."""
    token: str = ""
    """The form of the token, for messages; empty: the service needs none."""
    variables: tuple[str, ...] = ()
    """The service's own variables of the environment: their values, joined by colons, are the token."""

    def url(self) -> str | URLSource:
        """Return the service's address."""
        found: str | URLSource = self._load().url()
        return found

    def protocol(self) -> Protocol[Any]:
        """Return a new protocol of the service."""
        made: Protocol[Any] = (self.make_protocol or self._load().protocol)()
        return made

    def rotation(self) -> Rotation | None:
        """Return how the service's connections are replaced; None: its module has no function `rotation`."""
        make: Callable[[], Rotation] | None = None if self.make_protocol else getattr(self._load(), "rotation", None)
        return None if make is None else make()

    def token_of(self, environment: Mapping[str, str]) -> str | None:
        """Return the token that the service's own variables hold; None if one of them is missing or empty."""
        values = [environment.get(name) for name in self.variables]
        return ":".join(value for value in values if value) if values and all(values) else None

    def _load(self) -> Any:
        return importlib.import_module(f".{self.module}", __package__)


def _alpaca_key(text: str) -> Hashable:
    channel, dot, symbol = text.partition(".")
    if not dot or channel not in _ALPACA_CHANNELS:  # BRK.B is a symbol, too
        channel, symbol = "trades", text
    if not symbol:
        raise InvalidOption(f"{text!r} has no symbol: give one, such as AAPL or bars.AAPL, or * for all")
    return f"{channel}.{symbol}"


def _binance_key(text: str) -> Hashable:
    symbol, at, stream = text.partition("@")
    if not stream and not text.startswith("!"):
        raise InvalidOption(f"{text!r} is no stream: give a symbol and a stream, such as btcusdt@trade")
    return text if symbol.startswith("!") else f"{symbol.lower()}{at}{stream}"  # others are accepted, and get nothing


def _kraken_key(text: str) -> Hashable:
    channel, colon, symbol = text.partition(":")
    if not colon:
        channel, symbol = "ticker", text
    if channel not in KRAKEN_CHANNELS or not symbol:
        raise InvalidOption(
            f"{text!r} is no channel and symbol: give one of {', '.join(KRAKEN_CHANNELS)}, such as ticker:BTC/USD"
        )
    return f"{channel}:{symbol}"


SERVICES: Final[Mapping[str, Service]] = {
    "alpaca": Service(
        module="alpaca",
        keys="AAPL bars.MSFT",
        key=_alpaca_key,
        token="KEY_ID:SECRET",  # noqa: S106 - its form
        variables=("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"),
    ),
    "binance": Service(module="binance", keys="btcusdt@trade ethusdt@bookTicker", key=_binance_key),
    "home-assistant": Service(
        module="home_assistant",
        keys="state_changed call_service",
        token="ACCESS_TOKEN",  # noqa: S106 - its form
        variables=("HASS_TOKEN",),
    ),
    "kraken": Service(module="kraken", keys="ticker:BTC/USD trade:ETH/USD", key=_kraken_key),
}
"""The services, by the names that the commands know."""


def find_service(name: str) -> Service:
    """Return the service of this name. Raises `InvalidOption`."""
    service = SERVICES.get(name)
    if service is None:
        raise InvalidOption(f"{name!r} is none of the services, which are {', '.join(sorted(SERVICES))}")
    return service
