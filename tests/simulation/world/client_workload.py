"""Callers of one `Client`, which connect, send, subscribe and close at random."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, ClassVar

from onesocket.errors import OnesocketError
from onesocket.lifecycle._states import State
from onesocket.testing._virtual_time import VirtualTimeLoop

from .invariants import StreamInvariants
from .workload import MakeClient, Workload


class ClientWorkload(Workload):
    """One client whose callers connect, cancel, disconnect, reconnect, send, subscribe and close."""

    action_weights: ClassVar = {
        "connect": 34,
        "connect_retrying": 6,
        "connect_nowait": 5,
        "reconnect": 8,
        "disconnect": 6,
        "send": 25,
        "send_nowait": 8,
        "subscribe": 8,
        "wait_for": 4,
        "look": 4,
        "suspend": 1,
        "aclose": 1,
    }

    retries_first = True

    def __init__(self, seed: int, make: MakeClient, loop: VirtualTimeLoop, **options: Any) -> None:
        super().__init__(seed, make, loop, **options)
        self._sent = 0
        self._has_reader = False
        self._reads_late = self.chance.random() < 0.4
        """True if reading begins only when all is quiet."""
        self.server.ghost_seconds = self.chance.choice([0.0, 0.0, 3.0])
        self.server.expects_dates = True
        self.client = self.make_client(self.token if self.chance.random() < 0.3 else None)
        self._policy_of_client = self.client.internals.options.reconnect
        """The policy, which decides how long a first connect may take."""

    async def do(self, verb: str, name: str) -> None:
        """Perform one action."""
        client = self.client
        match verb:
            case "connect_retrying":
                retry = self._policy_of_client is not None
                await self.call(name, lambda: client.connect(retry=retry), deadline=math.inf if retry else None)
            case "connect" | "reconnect":
                retries = self._policy_of_client is not None and self._policy_of_client.first
                await self.call(name, getattr(client, verb), deadline=math.inf if retries else None)
            case "disconnect":
                await self.call(name, client.disconnect)
            case "aclose":
                if self.chance.random() < 0.2:
                    await self.call(name, client.aclose)
            case "connect_nowait":
                self._call_nowait(name, client.connect_nowait)
            case "send" | "send_nowait":
                await self._send(verb, name)
            case "subscribe":
                if not self._reads_late:
                    await self._read()
            case "wait_for":
                await self.call(name, lambda: client.wait_for(State.CONNECTED, timeout=5))
            case "look":
                str((repr(client), client.status, client.stats))
            case _:
                self.suspend()

    async def finish(self) -> None:
        """Reconnect once more, read, and close for good."""
        if self.client.state is not State.CLOSED:
            retries = self._policy_of_client is not None and self._policy_of_client.first
            await self.call("reconnect at the end", self.client.reconnect, deadline=math.inf if retries else None)
            await self._read_what_waits()
        await self.call("aclose at the end", self.client.aclose)
        state = self.client.state
        if state is not State.CLOSED:
            self.invariants.fail(f"aclose() ended in {state.name}")

    def _call_nowait(self, name: str, call: Callable[[], Any]) -> None:
        try:
            self.note(f"call: {name} → {call()!r}")
        except OnesocketError as error:
            self.note(f"call: {name} → {error!r}")

    async def _send(self, verb: str, name: str) -> None:
        self._sent += 1
        data = f"message {self._sent}"
        try:
            with self.check_delivery(name, data):
                if verb == "send":
                    await self.client.send(data)
                else:
                    await self.client.send_nowait(data)
        except OnesocketError:
            return

    async def _read(self) -> None:
        overflow = self.chance.choice(["fail", "wait", "drop_oldest"])
        watcher = StreamInvariants(self.invariants, first=not self._has_reader)
        self._has_reader = True
        async with self.client.subscribe(overflow=overflow, limit=self.chance.choice([1, 5, 1000])) as stream:
            try:
                async with asyncio.timeout(self.chance.uniform(0, 60)):
                    async for message in stream:
                        watcher.see(message)
                        if self.chance.random() < 0.1:
                            await asyncio.sleep(self.chance.choice([0, 0.1, 5]))
            except (TimeoutError, OnesocketError):
                return

    async def _read_what_waits(self) -> None:
        """Read with one more subscription; the first one gets all messages from the beginning."""
        if self.client.state is not State.CONNECTED:
            return
        epoch = len(self.server.peers)
        count = len(self.invariants.said.get(epoch, ()))
        await asyncio.sleep(2 * self.server.latency + 0.1)
        watcher = StreamInvariants(self.invariants, first=not self._has_reader)
        async with self.client.subscribe(raise_on_failure=False) as stream:
            for _ in range(len(stream)):
                watcher.see(await anext(stream))
        if count and not self._has_reader and epoch == len(self.server.peers):
            watcher.has_seen(epoch, count)
