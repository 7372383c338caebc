"""Restores a connection that was up under the last owner, by the policy by which a client restores its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from ...client._client import Client
from ...errors import OnesocketError
from ...lifecycle._peer_errors import as_established
from ...lifecycle._retry import ReconnectPolicy


class Reconnector:
    """Connects until an attempt succeeds or the policy is exhausted."""

    def __init__(self, client: Client, policy: ReconnectPolicy | None, publish: Callable[[], None]) -> None:
        self._client = client
        self._policy = policy
        self._publish = publish
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Reconnector {'running' if self.is_running else 'idle'}>"

    @property
    def is_running(self) -> bool:
        """True while a failure of the client leads to another attempt."""
        return self._task is not None

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Make no further attempt."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=1)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        failures, since = 1, loop.time()  # the first failure is the loss of the last owner
        while True:
            try:
                await self._client.connect()
            except OnesocketError as failure:
                failures += 1
                error = as_established(failure)
                policy = self._policy
                if policy is None or not error.retryable or policy.exhausted(failures):
                    break
                self._publish()
                await asyncio.sleep(policy.delay(failures, error, random.random(), loop.time() - since))
            else:
                break
        if self._task is not None:
            self._task = None
            self._publish()
