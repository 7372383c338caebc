"""A plain script that logs, keeps an eye on its feed, and serves metrics: ``python script.py ws://127.0.0.1:8765/``.

Needs ``onesocket[prometheus]``. ``curl localhost:9464/metrics`` shows the metrics while it runs.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from prometheus_client import start_http_server

from onesocket import Client, Gap
from onesocket.client import Change
from onesocket.instruments import Prometheus

log = logging.getLogger("feed")


def on_change(change: Change) -> None:
    """Log every change of the state; losses and recoveries are logged by the library itself."""
    log.info("epoch %d: %s", change.epoch, change.new.value)


async def main(url: str, port: int, count: int | None = None) -> None:
    """Read `count` messages (None: for ever), and say what was seen."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server, thread = start_http_server(port, addr="127.0.0.1")
    try:
        async with Client(url, instruments=Prometheus().named("feed")) as client:
            client.on_change(on_change)
            seen = 0
            async for message in client:
                if isinstance(message, Gap):
                    log.warning("messages may be missing: %s", message.reason)
                    continue
                seen += 1
                if seen == count:
                    break
            counts = client.stats.connection
            log.info("%d messages, %s bytes, %d reconnects", counts.received, counts.received_bytes, counts.reconnects)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], 9464))
