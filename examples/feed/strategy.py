"""Compare each price with a moving average: ``python strategy.py AAPL MSFT``. A program on asyncio."""

import asyncio
import contextlib
import sys

from account import SCOPE, TOKEN, URL

import onesocket
from onesocket.services import alpaca


async def main(symbols: list[str]) -> None:
    """Print an opinion for each trade."""
    averages: dict[str, float] = {}
    async with onesocket.join(URL, token=TOKEN, protocol=alpaca.protocol(), scope=SCOPE) as client:
        async for message in client.subscribe(keys=[f"trades.{symbol}" for symbol in symbols]):
            if isinstance(message, onesocket.Gap):
                print("strategy: trades may be missing, averages begin anew", flush=True)
                averages.clear()
            elif isinstance(message, alpaca.Trade):
                average = averages.get(message.symbol, message.price)
                opinion = "buy" if message.price > average else "sell" if message.price < average else "hold"
                averages[message.symbol] = 0.9 * average + 0.1 * message.price
                print(f"strategy: {message.symbol} {message.price:.2f} {opinion}", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1:] or ["AAPL", "MSFT"]))
