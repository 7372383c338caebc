"""The database of the chat server: tables, migrations, readers and writers."""

from ._store import Store
from ._unit_of_work import UnitOfWork
from ._writer import Isolation

__all__ = ["Isolation", "Store", "UnitOfWork"]
