"""Bringing a database to the shape that this version needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

_TURN: Final = threading.Lock()
"""Alembic knows one migration at a time in a process, and ours give way to other tasks while they run."""
_LOOK_AGAIN: Final = 0.01


@asynccontextmanager
async def migrating() -> AsyncGenerator[None, None]:
    """Wait until no other migration is under way in this process."""
    # Whoever has it may be on another thread's event loop, or on this one: nothing of asyncio's can be waited for.
    while not _TURN.acquire(blocking=False):  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_AGAIN)
    try:
        yield
    finally:
        _TURN.release()


def upgrade(connection: Connection) -> None:
    """Run what is missing of the migrations, inside the transaction that `connection` is in."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
