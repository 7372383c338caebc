"""What is kept: tables, migrations, and one way to read and one to write."""

from ._store import Store
from ._unit_of_work import UnitOfWork

__all__ = ["Store", "UnitOfWork"]
