"""Fake venues: servers on loopback that speak the protocols of real services, and keep their limits.

Needs the extra `testing`: ``pip install "onesocket[testing]"``. Each venue is a `FaultyServer`, and says in its
docstring which facts come from the service's own documentation, and which could not be confirmed there.
"""

from ._alpaca import AlpacaSession, AlpacaVenue
from ._disorder import Disorder, DisorderPlan
from ._ledger import LedgerEntry, VenueEvent, VenueLedger
from ._session import VenueSession
from ._venue import ServerOptions, Venue, VenueOptions

__all__ = [
    "AlpacaSession",
    "AlpacaVenue",
    "Disorder",
    "DisorderPlan",
    "LedgerEntry",
    "ServerOptions",
    "Venue",
    "VenueEvent",
    "VenueLedger",
    "VenueOptions",
    "VenueSession",
]
