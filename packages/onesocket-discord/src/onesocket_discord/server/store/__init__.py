"""The database of the chat server: tables, migrations, readers and the one writer."""

from ._store import Store
from ._unit_of_work import UnitOfWork

__all__ = ["Store", "UnitOfWork"]
