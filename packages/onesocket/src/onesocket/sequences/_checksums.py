"""Checksums that services send with their order books."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from decimal import Decimal

from ._levels import Level


def kraken_checksum(
    bids: Iterable[Level],
    asks: Iterable[Level],
    *,
    price_precision: int | None = None,
    qty_precision: int | None = None,
) -> int:
    """Return the checksum of Kraken's `book` channel: CRC32 over the ten best asks, then the ten best bids.

    Each level gives its price and then its quantity, without the point and without leading zeros
    (https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2, "Checksum calculation"). Trailing zeros count:
    numbers that were decoded as they are on the wire have them. For others, `price_precision` and `qty_precision`,
    which the `instrument` channel names for each pair, tell how many places are written:
    `Book(checksum=functools.partial(kraken_checksum, price_precision=1, qty_precision=8))`.

    Args:
        bids: the ten best, best first.
        asks: the ten best, best first.
        price_precision: number of decimal places of a price; None: as it was decoded.
        qty_precision: number of decimal places of a quantity; None: as it was decoded.

    """
    text = "".join(
        _digits(level.price, price_precision) + _digits(level.quantity, qty_precision)
        for side in (asks, bids)
        for level in side
    )
    return zlib.crc32(text.encode())


def _digits(amount: Decimal, precision: int | None) -> str:
    text = format(amount, "f" if precision is None else f".{precision}f")
    return text.replace(".", "", 1).lstrip("0")
