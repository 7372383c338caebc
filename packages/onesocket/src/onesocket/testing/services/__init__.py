"""Fake venues: servers on loopback that speak the protocols of real services, and keep their limits.

Needs the extra `testing`: ``pip install "onesocket[testing]"``. Each venue is a `FaultyServer`, and says in its
docstring which facts come from the service's own documentation, and which could not be confirmed there.
"""

from ._alpaca import AlpacaSession, AlpacaVenue
from ._binance import BinanceFuturesVenue, BinanceSession, BinanceVenue, SnapshotHook
from ._disorder import Disorder, DisorderPlan
from ._graphql import Authenticate, GraphQLSession, GraphQLVenue, Resolve
from ._home_assistant import CommandAnswer, HomeAssistantSession, HomeAssistantVenue
from ._http_api import ApiRequest
from ._kraken import KrakenSession, KrakenVenue, book_checksum
from ._ledger import LedgerEntry, VenueEvent, VenueLedger
from ._levels import LevelText, PriceLevels
from ._session import VenueSession
from ._slack import Envelope, SlackSession, SlackVenue
from ._streams import StreamSession
from ._venue import ServerOptions, Venue, VenueOptions

__all__ = [
    "AlpacaSession",
    "AlpacaVenue",
    "ApiRequest",
    "Authenticate",
    "BinanceFuturesVenue",
    "BinanceSession",
    "BinanceVenue",
    "CommandAnswer",
    "Disorder",
    "DisorderPlan",
    "Envelope",
    "GraphQLSession",
    "GraphQLVenue",
    "HomeAssistantSession",
    "HomeAssistantVenue",
    "KrakenSession",
    "KrakenVenue",
    "LedgerEntry",
    "LevelText",
    "PriceLevels",
    "Resolve",
    "ServerOptions",
    "SlackSession",
    "SlackVenue",
    "SnapshotHook",
    "StreamSession",
    "Venue",
    "VenueEvent",
    "VenueLedger",
    "VenueOptions",
    "VenueSession",
    "book_checksum",
]
