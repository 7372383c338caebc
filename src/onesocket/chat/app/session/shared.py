"""What the parts of a session work with."""

from __future__ import annotations

from dataclasses import dataclass

from ....discord.rest import Rest
from .chores import Chores
from .complaints import Complaints
from .line import Line
from .store import Store


@dataclass(frozen=True, slots=True)
class Shared:
    """One of each, for one session."""

    store: Store
    rest: Rest
    line: Line
    chores: Chores
    complaints: Complaints
