"""A member of another kind: the command ``onesocket share``, and a client of another library at its port."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, Self

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from onesocket import Gap
from onesocket.client._gap import GapReason
from tests.campaigns.harness.worker_process import DEADLINE, WorkerFailure, WorkerProcess

from .numbered import NumberedReader

_GAP: Final = "gap"
_READY: Final = "ready "


class HubMember(WorkerProcess):
    """Takes the orders of a `ChaosWorker` that reads only."""

    interrupted = 0

    @classmethod
    async def share(cls, url: str, name: str, directory: Path, own: str) -> Self:
        """Start the hub; it joins by itself."""
        command = (sys.executable, "-m", "onesocket", "share", url, "--scope", "host", "--own", own)
        options = ("--listen", "127.0.0.1:0", "--gap-message", _GAP)
        environment = {**os.environ, "ONESOCKET_RUNTIME_DIR": str(directory)}
        hub = await cls.run((*command, *options), name, environment=environment)
        await hub.wait_for(lambda: any(line.startswith(_READY) for line in hub.output), "ready line of a hub")
        return hub

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._reader = NumberedReader(0)
        self._reading_client: asyncio.Task[None] | None = None
        self._orders: dict[int, asyncio.Task[Any]] = {}

    def tell(self, do: str, **more: Any) -> int:
        """Take an order, as a worker would; returns its number."""
        self._last_number += 1
        work: Coroutine[Any, Any, Any] = getattr(self, f"_{do}")(**more)
        self._orders[self._last_number] = asyncio.create_task(work)
        return self._last_number

    async def result(self, number: int, within: float = DEADLINE) -> Any:
        """The result of an order. Raises `WorkerFailure`."""
        return await self.during(self._order(number), f"order {number}", within)

    async def end(self) -> None:
        """Kill it; its reports of losses are no broken promise."""
        await super().end()
        if self._reading_client is not None:
            self._reading_client.cancel()
            await asyncio.wait([self._reading_client])
        if "Traceback" not in self.errors:
            self.errors = ""

    async def _order(self, number: int) -> Any:
        return await self._orders.pop(number)

    async def _join(self, **_: Any) -> None:
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        url = next(line for line in self.output if line.startswith(_READY)).split()[1]
        self._reading_client = asyncio.create_task(self._read_client(url, opened))
        await asyncio.wait({self._reading_client, opened}, return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            raise WorkerFailure(f"{self.name} let no client in: {self._reading_client}")

    async def _read_client(self, url: str, opened: asyncio.Future[None]) -> None:
        try:
            async with connect(url, max_size=None, max_queue=None, ping_interval=None) as client:
                opened.set_result(None)
                async for text in client:
                    reason = GapReason.RECONNECTED
                    self._reader.take(Gap(reason, epoch=self._reader.epoch) if text == _GAP else text)
        except ConnectionClosed:
            pass  # the hub was killed

    async def _until(self, number: int, **_: Any) -> dict[str, Any]:
        # Its clients don't learn of epochs.
        return await self._reader.until(number, self._reader.epoch - 1)

    async def _settle(self, **_: Any) -> dict[str, Any]:
        return {"accepted": 0, "gaps": self._reader.gaps, "firsts": []}

    async def _leave(self, **_: Any) -> dict[str, Any]:
        self.signal(signal.SIGTERM)
        return {"accepted": 0}
