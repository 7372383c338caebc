"""Readiness of the server: its database takes writes, and its cluster's engine answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aiohttp import web

from .store import Store

if TYPE_CHECKING:
    from .cluster import ClusterNode

log = logging.getLogger("onesocket_discord.server")

_TIMEOUT: Final = 3.0
"""Seconds for both: those who ask wait no longer, as a rule."""
_MAX_AGE: Final = 1.0
"""Seconds for which an answer is good: anybody may ask, as often as they like."""


class HealthCheck:
    """Checks the parts, at most once in a second however many ask."""

    def __init__(
        self,
        store: Store,
        cluster: ClusterNode | None,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_stopping`: whether the server takes no new clients. `timeout`: seconds for one check."""
        self._store = store
        self._cluster = cluster
        self._is_stopping = is_stopping
        self._timeout = timeout
        self._clock = clock
        self._running: asyncio.Task[str | None] | None = None
        self._problem: str | None = None
        self._checked_at = float("-inf")

    def __repr__(self) -> str:
        return f"<HealthCheck {self._problem or 'ok'}>"

    async def find_problem(self) -> str | None:
        """Return why the server isn't ready, in words that name no address; None: it is."""
        if self._is_stopping():
            return "the server is stopping"
        if self._running is None and self._clock() - self._checked_at < _MAX_AGE:
            return self._problem
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._check(), name="chat-health")
        return await asyncio.shield(self._running)

    async def stop(self) -> None:
        """End a check that is under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def respond(self, _: web.Request) -> web.StreamResponse:
        """Answer ``GET /healthz``: 200, or 503 with the reason."""
        problem = await self.find_problem()
        body = {"status": "ok"} if problem is None else {"status": "unavailable", "reason": problem}
        return web.json_response(body, status=200 if problem is None else 503, headers={"Cache-Control": "no-store"})

    async def _check(self) -> str | None:
        try:
            problem = await self._first_problem()
            if problem != self._problem:
                log.warning("ready again" if problem is None else "not ready: %s", *([problem] if problem else []))
            self._problem, self._checked_at = problem, self._clock()
            return problem
        finally:
            self._running = None

    async def _first_problem(self) -> str | None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._store.check_writable()
        except TimeoutError:
            return f"the database took no write within {self._timeout:g} s"
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing can be stored
            log.info("the database can't be written: %s", error)
            return "the database can't be written"
        if self._cluster is not None:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._cluster.check()
            except Exception as error:  # noqa: BLE001 - as above
                log.info("the cluster's engine can't be used: %s", error)
                return "the cluster's engine can't be reached, or takes no writes"
        return None
