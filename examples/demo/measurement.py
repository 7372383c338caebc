"""The results of one client in one row: the server's counts, the callers' results, and the broken promises."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onesocket.testing._counters import Counts
from onesocket.testing._faulty_server import FaultyServer

from .harness import NO_CONNECTION, Harness
from .scenario import ScenarioFunction

# Seconds. A scenario bounds each of its own waits; this ends one that doesn't.
_ROW_LIMIT = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The results of one client in one row; all numbers of sockets are counted by the server."""

    callers: int
    handshakes: int
    most_open: int
    most_sockets: int
    """Like `most_open`, but from the arrival of the upgrade request on."""
    premature_closes: int
    unclean_closes: int
    hangs: int
    seconds: float
    left_open: int
    """Sockets open at the server after the client was closed."""
    left_tasks: int
    forgotten: int
    """WebSockets open at the end of the measurement that the client did not know of."""
    outcomes: Mapping[str, int]
    """The number of callers by result."""
    close_codes: Mapping[int, int]
    figures: Mapping[str, float]
    notes: tuple[str, ...]
    broken: tuple[str, ...]
    """The promises that were broken, in words; empty for a client that made none."""

    @property
    def without_connection(self) -> int:
        """The number of callers whose connect() returned without an error and without a connection."""
        return self.outcomes.get(NO_CONNECTION, 0)

    def as_json(self) -> dict[str, Any]:
        """Return the results as an object for JSON."""
        return {
            "callers": self.callers,
            "handshakes": self.handshakes,
            "most_open": self.most_open,
            "most_sockets": self.most_sockets,
            "premature_closes": self.premature_closes,
            "unclean_closes": self.unclean_closes,
            "hangs": self.hangs,
            "seconds": round(self.seconds, 3),
            "left_open": self.left_open,
            "left_tasks": self.left_tasks,
            "forgotten": self.forgotten,
            "without_connection": self.without_connection,
            "outcomes": dict(self.outcomes),
            "close_codes": {str(code): count for code, count in self.close_codes.items()},
            **self.figures,
        }


async def measure(scenario: ScenarioFunction, callers: int, rng: random.Random, *, promises: bool) -> Measurement:
    """Run one row on a fresh server; `promises`: check the promises of onesocket.

    An exception of the scenario becomes a broken promise (or a note).
    """
    loop = asyncio.get_running_loop()
    tasks_before = asyncio.all_tasks()
    failures: list[str] = []
    handler_before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: failures.append(_describe(context)))
    try:
        async with FaultyServer() as server:
            harness = Harness(server, callers, rng)
            try:
                async with asyncio.timeout(_ROW_LIMIT):
                    await scenario(harness)
            except Exception as error:  # noqa: BLE001 - any exception is the row's result
                failures.append(f"did not run to its end: {type(error).__name__}: {error}")
            seconds, forgotten, window = harness.seconds, harness.forgotten, server.counts
            await harness.clear()
            after = server.counts
    finally:
        loop.set_exception_handler(handler_before)
    # A closed client leaves the loop at once: only the server's own last callbacks may need this turn.
    await asyncio.sleep(0)
    left_tasks = len(asyncio.all_tasks() - tasks_before)
    # Sockets of onesocket's close count as well; the baseline is closed by force, so the counts before are used.
    counts = after if promises else window
    return Measurement(
        callers=harness.group.size,
        handshakes=counts.handshakes,
        most_open=counts.most_open,
        most_sockets=counts.most_sockets,
        premature_closes=counts.premature_closes,
        unclean_closes=counts.unclean_closes,
        hangs=harness.group.hangs,
        seconds=seconds,
        left_open=after.sockets_now,
        left_tasks=left_tasks,
        forgotten=forgotten,
        outcomes=dict(harness.group.outcomes),
        close_codes=counts.close_codes,
        figures=harness.figures,
        notes=(*harness.notes, *([] if promises else failures)),
        broken=(*_violations(harness, after, left_tasks), *harness.broken, *failures) if promises else (),
    )


def _violations(harness: Harness, counts: Counts, left_tasks: int) -> tuple[str, ...]:
    """Return the broken promises among those that hold in every row."""
    held = (
        (counts.handshakes == 1, f"{counts.handshakes} handshakes, 1 allowed"),
        (counts.most_open <= 1, f"{counts.most_open} open at once, 1 allowed"),
        (
            counts.most_sockets <= 1,
            f"{counts.most_sockets} sockets at once, 1 allowed",
        ),
        (counts.premature_closes == 0, f"{counts.premature_closes} closed before the upgrade was answered"),
        (counts.protocol_errors == 0, f"{counts.protocol_errors} connections broke RFC 6455"),
        (harness.group.hangs == 0, f"{harness.group.hangs} callers hang after {harness.group.deadline:g} s"),
        (counts.sockets_now == 0, f"{counts.sockets_now} sockets still open after aclose()"),
        (left_tasks == 0, f"{left_tasks} tasks left after aclose()"),
    )
    return tuple(otherwise for holds, otherwise in held if not holds)


def _describe(context: dict[str, Any]) -> str:
    error = context.get("exception")
    text = f"{type(error).__name__}: {error}" if error is not None else str(context.get("message"))
    return f"an unhandled error reached the event loop: {text}"
