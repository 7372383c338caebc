"""A process that opens a database, and stops in the middle of the upgrade of its tables, before the commit."""

import asyncio
import sys

from sqlalchemy import Connection

from onesocket_discord.server.store import Store, _store
from onesocket_discord.server.store._migration import upgrade


def upgrade_and_stop(connection: Connection) -> None:
    """Run every statement; then wait for the end."""
    upgrade(connection)
    sys.stdout.write("upgraded, not committed\n")
    sys.stdout.flush()
    sys.stdin.read()


async def _main(place: str) -> None:
    setattr(_store, "upgrade", upgrade_and_stop)  # noqa: B010 - of a module, which doesn't export it
    async with Store.open(place):
        pass


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
