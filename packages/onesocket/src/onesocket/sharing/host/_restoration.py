"""Restores a connection that was up under the last owner, by the policy by which a client restores its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from ...client._client import Client
from ...errors import OnesocketError
from ...lifecycle._peer_errors import as_established
from ...lifecycle._retry import ReconnectPolicy


async def restore_connection(client: Client, policy: ReconnectPolicy | None, on_failure: Callable[[], object]) -> None:
    """Connect until an attempt succeeds or the policy is exhausted. `on_failure`: called before each delay."""
    loop = asyncio.get_running_loop()
    failures, since = 1, loop.time()  # the first failure is the loss of the last owner
    while True:
        try:
            await client.connect()
        except OnesocketError as failure:
            failures += 1
            error = as_established(failure)
            if policy is None or not error.retryable or policy.exhausted(failures):
                return
            on_failure()
            await asyncio.sleep(policy.delay(failures, error, random.random(), loop.time() - since))
        else:
            return
