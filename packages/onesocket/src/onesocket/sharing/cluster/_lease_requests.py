"""Requests of a member for the lease, to an engine that was found to serve."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import EngineFull, EngineUnavailable, EngineUnusable, OnesocketError
from ._coordinator import Coordinator, Lease, LeaseInfo
from ._feed_payload import MIN_PAYLOAD
from ._retrying import Backoff


class LeaseRequests:
    """Asks the engine."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self.is_under_way = False
        """True while the engine is asked for the lease: it may have granted it."""

    def __repr__(self) -> str:
        return f"<LeaseRequests{' under way' if self.is_under_way else ''}>"

    async def check(self, on_failed: Callable[[OnesocketError], bool]) -> None:
        """Find out whether the engine can serve, as often as `on_failed` says so of an error.

        Raises that error otherwise, and those of `Coordinator.check`.
        """
        backoff = Backoff()
        while True:
            try:
                await self._coordinator.check()
                break
            except (EngineUnavailable, EngineFull) as error:
                if not on_failed(error):
                    raise
            await backoff.wait()
        most = self._coordinator.max_payload
        if most < MIN_PAYLOAD:
            raise EngineUnusable(f"the engine of the cluster takes payloads of {most} bytes; {MIN_PAYLOAD} are needed")

    async def acquire(self, ttl: float, after: int) -> Lease | LeaseInfo:
        """As `Coordinator.acquire`."""
        self.is_under_way = True
        try:
            return await self._coordinator.acquire(ttl, after)
        finally:
            self.is_under_way = False
