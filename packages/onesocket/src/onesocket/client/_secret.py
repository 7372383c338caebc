"""A secret on its way through the event loop, whose debug mode writes the results of tasks to the log."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """A token, or that there is none; its repr doesn't show it."""

    value: str | None = field(repr=False)
