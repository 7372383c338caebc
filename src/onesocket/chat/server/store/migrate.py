"""Bringing a database to the shape that this version needs."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

_TURN: Final = threading.Lock()
"""Alembic knows one migration at a time in a process, and ours give way to other tasks while they run."""
_LOOK_AGAIN: Final = 0.01


async def upgrade(connection: AsyncConnection) -> None:
    """Run what is missing of the migrations, inside the transaction that `connection` is in."""
    while not _TURN.acquire(blocking=False):  # whoever has it may be on another thread's event loop, or on this one
        await asyncio.sleep(_LOOK_AGAIN)
    try:
        await connection.run_sync(_upgrade)
    finally:
        _TURN.release()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
