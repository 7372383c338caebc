"""What is kept: tables, migrations, and one way to read and one to write."""

from .store import Store
from .work import Work

__all__ = ["Store", "Work"]
