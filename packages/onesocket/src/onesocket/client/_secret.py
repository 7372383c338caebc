"""A secret on its way through the event loop, whose debug mode writes the results of tasks to the log."""

from __future__ import annotations

from dataclasses import field

from .._record import record


@record
class Secret:
    """A token (None: there is none) that no repr shows."""

    value: str | None = field(repr=False)
