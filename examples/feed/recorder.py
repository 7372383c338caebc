"""Write trades to a file of CSV: ``python recorder.py trades.csv AAPL TSLA``. A program without asyncio."""

import contextlib
import csv
import sys
from pathlib import Path

from account import SCOPE, TOKEN, URL

from onesocket import Gap, blocking
from onesocket.services import alpaca


def main(path: Path, symbols: list[str]) -> None:
    """Append a row for each trade, and one for each place where trades may be missing."""
    with (
        path.open("a", newline="", encoding="utf-8") as file,
        blocking.join(URL, token=TOKEN, protocol=alpaca.protocol(), scope=SCOPE) as client,
    ):
        rows = csv.writer(file)
        for message in client.subscribe(keys=[f"trades.{symbol}" for symbol in symbols]):
            if isinstance(message, Gap):
                rows.writerow(["gap", message.reason, ""])
            elif isinstance(message, alpaca.Trade):
                rows.writerow([message.symbol, message.price, message.size])
            file.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]), sys.argv[2:] or ["AAPL", "TSLA"])
