"""A fake Alpaca with one account that may have one connection: ``python venue.py``.

Prints a line whenever the connections, the logins or the subscriptions have changed.
"""

import asyncio
import contextlib
import itertools
import os
import random
from urllib.parse import urlsplit

from onesocket.testing import Counts
from onesocket.testing.services import AlpacaVenue, VenueEvent

SYMBOLS = ("AAPL", "AMZN", "MSFT", "NVDA", "TSLA")


def summary(venue: AlpacaVenue) -> str:
    """Return what the venue's ledger says."""
    ledger = venue.ledger
    now = sum(session.account is not None for session in venue.sessions)
    most = max(ledger.most_signed_in.values(), default=0)
    return (
        f"logged in: {now} (most at once {most}, in all {ledger.totals[VenueEvent.SIGNED_IN]}, "
        f"refused {ledger.totals[VenueEvent.LIMIT_EXCEEDED]}); {' '.join(sorted(venue.keys)) or 'no subscriptions'}"
    )


async def trade(venue: AlpacaVenue, pause: float) -> None:
    """Send a trade of each symbol again and again: a random walk."""
    prices = dict.fromkeys(SYMBOLS, 100.0)
    for number in itertools.count(1):
        for symbol in SYMBOLS:
            prices[symbol] = round(prices[symbol] * random.uniform(0.99, 1.01), 2)
            venue.push({"T": "t", "S": symbol, "i": number, "p": prices[symbol], "s": 100})
        await asyncio.sleep(pause)


async def main(port: int, pause: float = 0.2) -> None:
    """Serve until Ctrl-C."""
    async with AlpacaVenue(port=port) as venue:
        print(f"fake Alpaca at {venue.url}", flush=True)
        trading = asyncio.create_task(trade(venue, pause))
        said = summary(venue)

        def has_changed(_counts: Counts) -> bool:
            return summary(venue) != said

        try:
            while True:
                await venue.wait_until(has_changed, timeout=None)
                said = summary(venue)
                print(said, flush=True)
        finally:
            trading.cancel()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(urlsplit(os.environ["FEED_URL"]).port or 0))
