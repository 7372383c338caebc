"""One row of the demo: what happens, played once with each client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .harness import Harness

ScenarioFunction = Callable[[Harness], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row. Its window of measurement is one in which exactly one handshake is needed."""

    name: str
    title: str
    """What happens, in a line."""
    ours: ScenarioFunction
    theirs: ScenarioFunction
    """The same crowd and the same faults, for the check-then-connect client."""
