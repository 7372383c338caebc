"""The strategy and the recorder in one process: ``SCOPE=process python together.py trades.csv``."""

import asyncio
import contextlib
import sys
import threading
from pathlib import Path

import recorder
import strategy

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        threading.Thread(target=recorder.main, args=(Path(sys.argv[1]), ["AAPL", "TSLA"]), daemon=True).start()
        asyncio.run(strategy.main(["AAPL", "MSFT"]))
