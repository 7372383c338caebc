"""Fake venues: servers on loopback that speak the protocols of real services, and keep their limits.

Needs the extra `testing`: ``pip install "onesocket[testing]"``. Each venue is a `FaultyServer`, and says in its
docstring which facts come from the service's own documentation, and which could not be confirmed there.
"""

from ._alpaca import AlpacaSession, AlpacaVenue
from ._binance import BinanceFuturesVenue, BinanceSession, BinanceVenue, SnapshotHook
from ._disorder import Disorder, DisorderPlan
from ._http_api import ApiRequest
from ._ledger import LedgerEntry, VenueEvent, VenueLedger
from ._levels import Level, PriceLevels
from ._session import VenueSession
from ._venue import ServerOptions, Venue, VenueOptions

__all__ = [
    "AlpacaSession",
    "AlpacaVenue",
    "ApiRequest",
    "BinanceFuturesVenue",
    "BinanceSession",
    "BinanceVenue",
    "Disorder",
    "DisorderPlan",
    "LedgerEntry",
    "Level",
    "PriceLevels",
    "ServerOptions",
    "SnapshotHook",
    "Venue",
    "VenueEvent",
    "VenueLedger",
    "VenueOptions",
    "VenueSession",
]
