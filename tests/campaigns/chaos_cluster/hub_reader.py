"""Reader of a host's hub, as a program there: reports each message, and connects again when the hub ends."""

from __future__ import annotations

import asyncio
from typing import Any

from onesocket import Client, Gap, Raw, ReconnectPolicy
from tests.campaigns.harness.orders import setup, write_event


async def main(given: dict[str, Any]) -> None:
    """Read until this process is ended."""
    again = ReconnectPolicy(initial=0.02, cap=0.1, unreachable_cap=0.1)
    client = Client(given["url"], protocol=Raw(), proxy=None, reconnect=again, open_timeout=2.0)
    async with client.subscribe(gaps=True) as feed:
        await client.connect(retry=True)
        async for item in feed:
            if not isinstance(item, Gap):
                write_event("fed")


if __name__ == "__main__":
    asyncio.run(main(setup()))
