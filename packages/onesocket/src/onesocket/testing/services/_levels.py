"""The price levels of an order book at a fake venue."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

LevelText = tuple[str, str]
"""Price and quantity, as the text that goes over the wire."""


class PriceLevels:
    """The levels of both sides, each at its price, with the text of prices and quantities kept as it was given."""

    def __init__(self) -> None:
        self._bids: dict[Decimal, LevelText] = {}
        self._asks: dict[Decimal, LevelText] = {}

    def __repr__(self) -> str:
        return f"<PriceLevels bids={len(self._bids)} asks={len(self._asks)}>"

    def change(self, bids: Iterable[LevelText], asks: Iterable[LevelText]) -> None:
        """Set quantities; a quantity of zero removes the level. Raises ArithmeticError for what is no number."""
        for side, levels in ((self._bids, bids), (self._asks, asks)):
            for price, quantity in levels:
                if Decimal(quantity):
                    side[Decimal(price)] = (price, quantity)
                else:
                    side.pop(Decimal(price), None)

    def has_bid(self, price: str) -> bool:
        """Return True if there is a bid of this price."""
        return Decimal(price) in self._bids

    def has_ask(self, price: str) -> bool:
        """Return True if there is an ask of this price."""
        return Decimal(price) in self._asks

    def bids(self, depth: int | None = None) -> list[LevelText]:
        """Return the best bids, highest price first."""
        return [self._bids[price] for price in sorted(self._bids, reverse=True)[:depth]]

    def asks(self, depth: int | None = None) -> list[LevelText]:
        """Return the best asks, lowest price first."""
        return [self._asks[price] for price in sorted(self._asks)[:depth]]
