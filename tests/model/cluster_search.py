"""Search through all states of a `ClusterWorld` within bounds: ``python -m tests.model.cluster_search``."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass

from tests.model.cluster_world import Bounds, ClusterWorld, Loss, has_two_connections

LARGE = (
    Bounds(members=3, faults=1),
    Bounds(members=2, faults=2),
    Bounds(members=2, epochs=3, faults=1),
    Bounds(members=2, batches=2, faults=1),
    Bounds(members=2, epochs=3, faults=1, loss=Loss.ALL),
    Bounds(members=2, epochs=3, faults=1, loss=Loss.NEWEST),
    Bounds(members=2, faults=1, freezes=True),
    Bounds(members=2, faults=2, two_steps=True),
    Bounds(members=2, epochs=3, faults=1, two_steps=True),
    Bounds(members=2, epochs=3, faults=1, two_steps=True, loss=Loss.ALL),
)
"""For a longer search than tests make: a few minutes."""


@dataclass
class Found:
    """Result of a search."""

    states: int = 0
    steps: int = 0
    broken: str = ""
    """The first broken promise, or empty."""
    path: tuple[str, ...] = ()
    """The steps to it; members are renamed on the way, so their numbers hold within one step only."""


def search(bounds: Bounds) -> Found:
    """Visit every state that can be reached, breadth first, until one breaks a promise."""
    first, _ = ClusterWorld.first(bounds).sorted_members()
    came_from: dict[ClusterWorld, tuple[ClusterWorld, str] | None] = {first: None}
    queue = deque([first])
    found = Found()

    def path(world: ClusterWorld) -> tuple[str, ...]:
        names: list[str] = []
        while (origin := came_from[world]) is not None:
            world, name = origin
            names.append(name)
        return tuple(reversed(names))

    while queue:
        world = queue.popleft()
        try:
            steps = list(world.next(bounds))
        except AssertionError as error:
            found.broken, found.path = str(error), path(world)
            break
        found.steps += len(steps)
        for step in steps:
            after, _ = step.after.sorted_members()
            if after in came_from:
                continue
            came_from[after] = world, step.name
            queue.append(after)
            if has_two_connections(after) and not bounds.allows_two_connections:
                found.broken, found.path = "two members have a connection upstream", path(after)
                queue.clear()
                break
    found.states = len(came_from)
    return found


def main() -> int:
    """Search within the large bounds; returns 1 if a promise is broken."""
    for bounds in LARGE:
        started = time.monotonic()
        found = search(bounds)
        seconds = time.monotonic() - started
        sys.stdout.write(f"{bounds}: {found.states} states, {found.steps} steps, {seconds:.0f} s\n")
        sys.stdout.flush()
        if found.broken:
            sys.stdout.write("\n".join([f"broken: {found.broken}", *found.path, ""]))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
