"""One row of the demo: a function for each of both clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .harness import Harness

ScenarioFunction = Callable[[Harness], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row of the demo, in whose measurement exactly one handshake is needed."""

    name: str
    title: str
    """A description in one line."""
    onesocket: ScenarioFunction
    baseline: ScenarioFunction
    """The same callers and faults, for the check-then-connect client."""
