"""Identify slots among the hosts of a cluster: each is reserved at the engine, once the gateway has said HELLO."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, NamedTuple

from onesocket.errors import OnesocketError
from onesocket.protocols import ReserveSlot

from ..protocol._limits import IDENTIFY_PERIOD

LOOK_AGAIN: Final = 0.02
"""Seconds between two looks for the engine's answer, which comes within milliseconds."""
PATIENCE: Final = 3.0
"""Seconds for an engine to answer; then the hosts are not spaced."""
LATENESS: Final = 0.3
"""Seconds after which a slot has passed unused: an Identify by then is too close to that of the next one."""
_log: Final = logging.getLogger("onesocket")


class _Answer(NamedTuple):
    name: str
    at: float | None
    """Time of the slot, by the event loop's clock; None: the engine is away."""


class FleetSlots:
    """Reserves one slot at a time for one client; one that a lost connection leaves unused serves the next one."""

    def __init__(self, reserve: ReserveSlot) -> None:
        self._reserve = reserve
        self._asking: asyncio.Task[None] | None = None
        self._answer: _Answer | None = None

    def __repr__(self) -> str:
        return f"<FleetSlots {'asking' if self._asking is not None else self._answer}>"

    def time(self, name: str, earliest: float, now: float) -> float:
        """The time at which to identify, at `earliest` or later, or to look again. Without the engine: `earliest`."""
        answer = self._answer
        if self._asking is None and (answer is None or answer.name != name or self._has_passed(answer, now)):
            self._asking = asyncio.get_running_loop().create_task(self._ask(name, earliest))
        if self._asking is not None:
            return max(earliest, now + LOOK_AGAIN)
        return earliest if answer is None or answer.at is None else max(earliest, answer.at)

    def used(self) -> None:
        """Note that the client has identified."""
        self._answer = None

    def released(self) -> None:
        """Note that the connection was lost before that; an engine that was away is asked again."""
        if self._answer is not None and self._answer.at is None:
            self._answer = None

    async def aclose(self) -> None:
        """Cancel the reservation that is under way: the client is closed."""
        asking = self._asking
        if asking is not None:
            asking.cancel()
            await asyncio.wait([asking])

    @staticmethod
    def _has_passed(answer: _Answer, now: float) -> bool:
        return answer.at is not None and now > answer.at + LATENESS

    async def _ask(self, name: str, earliest: float) -> None:
        loop = asyncio.get_running_loop()
        at: float | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                wait = await self._reserve(name, IDENTIFY_PERIOD, max(0.0, earliest - loop.time()))
            at = loop.time() + wait
        except Exception as error:  # noqa: BLE001 - of the engine, or no memory: a login waits for no slot then
            late = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
            text = str(error) if isinstance(error, OnesocketError) else late
            _log.warning("identifies are not spaced among the hosts of the cluster: %s", text)
        finally:
            self._asking, self._answer = None, _Answer(name, at)
