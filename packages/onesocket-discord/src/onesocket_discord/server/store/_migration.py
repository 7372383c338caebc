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
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from onesocket.errors import InvalidOption, UsageError

_MIGRATION_LOCK: Final = threading.Lock()
"""Alembic knows one migration at a time in a process, and ours give way to other tasks while they run."""
_POLL_INTERVAL: Final = 0.01


@asynccontextmanager
async def migration_lock() -> AsyncGenerator[None, None]:
    """Wait until no other migration is under way in this process."""
    # Whoever has it may be on another thread's event loop, or on this one: nothing of asyncio's can be waited for.
    while not _MIGRATION_LOCK.acquire(blocking=False):  # noqa: ASYNC110
        await asyncio.sleep(_POLL_INTERVAL)
    try:
        yield
    finally:
        _MIGRATION_LOCK.release()


class StoreTooNew(UsageError):
    """A later release has changed the tables of this database."""


def upgrade(connection: Connection) -> None:
    """Run what is missing of the migrations, inside the transaction that `connection` is in. Raises `StoreTooNew`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if not inspect(connection).has_table("alembic_version") and inspect(connection).get_table_names():
        raise InvalidOption("this database holds the tables of another program; name another file")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    there = MigrationContext.configure(connection).get_current_revision()
    if there is not None and there not in known:
        raise StoreTooNew(
            f"this database was changed by a later release of onesocket (its tables are at {there}, which this one "
            "doesn't know): upgrade onesocket, or name another file"
        )
    command.upgrade(config, "head")
