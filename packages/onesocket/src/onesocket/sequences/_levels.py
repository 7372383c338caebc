"""Levels of an order book: exact prices and quantities, and one sorted side."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple, TypeAlias

from ..errors import InvalidOption

Amount: TypeAlias = "Decimal | str | int"
"""A price or quantity that is exact; a float is none."""


_MAX_EXPONENT: Final = 100
"""Bound of the digits before and behind the point: a checksum writes them all."""


class Level(NamedTuple):
    """A price, and the whole quantity that is offered or wanted at it."""

    price: Decimal
    quantity: Decimal


def parse_levels(pairs: Iterable[Iterable[Amount]]) -> list[Level]:
    """Make levels from pairs of a price and a quantity; nothing is rounded.

    Raises:
        InvalidOption: a pair isn't one, or one of its numbers is a float, not finite, no number, or a quantity below 0.

    """
    levels: list[Level] = []
    for pair in pairs:
        try:
            price, quantity = pair
        except (TypeError, ValueError):
            raise InvalidOption(f"a level is a pair of a price and a quantity, not {pair!r}") from None
        level = Level(_exact(price), _exact(quantity))
        if level.quantity < 0:
            raise InvalidOption(f"a quantity is 0 or more, not {quantity!r}")
        levels.append(level)
    return levels


def _exact(amount: Amount) -> Decimal:
    if type(amount) is str or type(amount) is int:
        try:
            amount = Decimal(amount)
        except InvalidOperation:
            raise InvalidOption(f"a price or quantity is a number, not {amount!r}") from None
    if not isinstance(amount, Decimal):
        raise InvalidOption(
            f"a price or quantity is a Decimal, str or int, not {amount!r}: a float has lost digits already; decode "
            "JSON numbers with Json(type=…) and fields of type Decimal, or json.loads(…, parse_float=Decimal)"
        )
    if not amount.is_finite() or abs(amount.adjusted()) > _MAX_EXPONENT:
        raise InvalidOption(f"a price or quantity is finite, and below 1E{_MAX_EXPONENT}, not {amount}")
    return amount


class BookSide:
    """One side of an order book, sorted by price.

    Args:
        descending: True for bids, whose best price is the highest.

    """

    __slots__ = ("_descending", "_levels", "_prices")

    def __init__(self, *, descending: bool) -> None:
        self._descending = descending
        self._levels: dict[Decimal, Level] = {}
        self._prices: list[Decimal] = []
        """Ascending."""

    def replace(self, levels: Iterable[Level]) -> None:
        """Take `levels` instead of all present ones; the last of several with one price counts."""
        self._levels = {level.price: level for level in levels}
        self._levels = {price: level for price, level in self._levels.items() if level.quantity}
        self._prices = sorted(self._levels)

    def update(self, levels: Iterable[Level]) -> None:
        """Set the quantity of each price, in order; 0 removes the level, whether it is known or not."""
        known, prices = self._levels, self._prices
        for level in levels:
            price = level.price
            if level.quantity:
                if price not in known:
                    prices.insert(bisect_left(prices, price), price)
                known[price] = level
            elif known.pop(price, None) is not None:
                del prices[bisect_left(prices, price)]

    def truncate(self, depth: int) -> None:
        """Keep the `depth` best levels."""
        excess = len(self._prices) - depth
        if excess > 0:
            worst = slice(excess) if self._descending else slice(depth, None)
            for price in self._prices[worst]:
                del self._levels[price]
            del self._prices[worst]

    def best(self, count: int | None = None) -> list[Level]:
        """Return the `count` best levels, best first; None: all."""
        if count is None:
            count = len(self._prices)
        prices = self._prices[: -count - 1 : -1] if self._descending else self._prices[:count]
        return [self._levels[price] for price in prices]
