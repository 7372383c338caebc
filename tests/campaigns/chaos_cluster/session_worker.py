"""A host of a bot's fleet, one process: reads all dispatches, and checks that each one is that after the last."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final
from unittest import mock

import onesocket
from onesocket import Gap, ReconnectPolicy
from onesocket.errors import OnesocketError
from onesocket.sharing.cluster import ClusterOptions, NatsCoordinator, RedisCoordinator
from onesocket.sharing.host import HostOptions
from onesocket_discord import DiscordClient, Dispatch, Intents
from tests.campaigns.harness.orders import Order, run_worker, serve_orders, setup, write_event

_INTENTS: Final = Intents.GUILDS | Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT
_QUICK: Final = {
    "onesocket_discord.protocol._gateway.INVALID_SESSION_WAIT": (0.0, 0.05),
    "onesocket_discord.client._identify_budget.IDENTIFY_PERIOD": 0.1,
    "onesocket_discord.client._fleet_slots.IDENTIFY_PERIOD": 0.1,
}
"""Discord's waits, shortened: they decide nothing here."""


class DispatchLedger:
    """Dispatches that one host has heard: checks that none is missing, and that none comes twice."""

    def __init__(self) -> None:
        self.sequence: int | None = None
        """Of the last dispatch; None: before the first one."""
        self.number = 0
        """Of the last message, as its writer counts."""
        self.heard = 0
        self.gaps = 0
        self.sessions = 0
        """READYs."""
        self.resumes = 0
        self.repeated = 0
        """Messages that came again after a marker."""
        self._is_told = True
        """True if a marker stands between the last dispatch and the next one."""
        self._changed = asyncio.Event()

    def take(self, item: Dispatch | Gap) -> None:
        """One item of the stream; writes what is wrong with it."""
        if isinstance(item, Gap):
            self.gaps += 1
            self._is_told = True
            return
        self.resumes += item.event == "RESUMED"
        self.sessions += item.event == "READY"
        self._check_sequence(item)
        if item.sequence is not None:
            self.sequence = item.sequence
        if item.event == "MESSAGE_CREATE":
            self._message(int(item.data.content))
        self._changed.set()

    def _check_sequence(self, item: Dispatch) -> None:
        last, sequence = self.sequence, item.sequence
        if last is None or self._is_told:
            return
        if item.event == "READY":
            write_event("wrong", text=f"a new session after {last}, and no marker before it")
        elif sequence not in (None, last + 1):
            text = f"{item.event} has the number {sequence} after {last}, and no marker between them"
            write_event("wrong", text=text)

    def _message(self, number: int) -> None:
        if not self._is_told and number != self.number + 1:
            write_event("wrong", text=f"message {number} came after {self.number}, and no marker between them")
        self.repeated += number <= self.number
        self.heard += 1
        self.number = number
        self._is_told = False

    async def until(self, number: int) -> None:
        """Wait for a message after this one."""
        while self.number <= number:
            self._changed.clear()
            await self._changed.wait()


class SessionWorker:
    """The shared client of this process."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._ledger = DispatchLedger()
        self._reading: asyncio.Task[None] | None = None
        self._client: onesocket.SharedClient[Dispatch] | None = None

    async def perform(self, order: Order) -> Any:
        """One order."""
        return await getattr(self, order["do"])(order)

    async def join(self, _: Order) -> None:
        """As any program would."""
        given = self._given
        make = NatsCoordinator if given["engine"].startswith("nats") else RedisCoordinator
        cluster = ClusterOptions(
            engine=make(given["engine"], timeout=given["timeout"]), lease=given["lease"], margin=given["margin"]
        )
        self._client = await onesocket.join(
            given["url"],
            key="robo",
            client_factory=self._make_client,
            scope="cluster",
            cluster=cluster,
            host_options=HostOptions(directory=given["directory"]),
        )
        self._reading = asyncio.create_task(self._read(self._client))

    def _make_client(self) -> DiscordClient:
        policy = ReconnectPolicy(initial=0.05, cap=0.2, unreachable_cap=0.2)
        return DiscordClient(
            self._given["token"], _INTENTS, gateway_url=self._given["url"], proxy=None, reconnect=policy
        )

    async def _read(self, client: onesocket.SharedClient[Dispatch]) -> None:
        try:
            async for item in client.subscribe():
                self._ledger.take(item)
        except OnesocketError as error:
            write_event("wrong", text=f"the stream: {type(error).__name__}: {error}")

    async def until(self, order: Order) -> float:
        """Wait for a message after a number; returns the time."""
        await self._ledger.until(order["number"])
        return time.monotonic()

    async def block(self, order: Order) -> None:
        """Block the event loop."""
        time.sleep(order["seconds"])  # noqa: ASYNC251 - that is the fault

    async def figures(self, _: Order) -> dict[str, int]:
        """Counts of the ledger."""
        ledger = self._ledger
        return {name: getattr(ledger, name) for name in ("heard", "gaps", "sessions", "resumes", "repeated", "number")}

    async def part(self, order: Order) -> dict[str, Any]:
        """The state of this host, for a report."""
        assert self._client is not None
        status = self._client.status
        error = f"{type(status.last_error).__name__}: {status.last_error}"
        return {"state": status.state.value, "epoch": status.epoch, "error": error, **await self.figures(order)}

    async def close(self, order: Order) -> dict[str, int]:
        """Leave in order."""
        assert self._client is not None
        assert self._reading is not None
        await self._client.aclose()
        await self._reading
        return await self.figures(order)


async def main(given: dict[str, Any]) -> None:
    """Serve orders until stdin ends or this process has left; Ctrl-C ends it in order."""
    logging.getLogger("onesocket").setLevel(logging.CRITICAL)  # typed errors tell what is wrong
    worker = SessionWorker(given)
    write_event("started")
    try:
        await serve_orders(worker.perform)
    except asyncio.CancelledError:
        await worker.close({})
        raise


if __name__ == "__main__":
    for name, value in _QUICK.items():
        mock.patch(name, value).start()
    run_worker(lambda: asyncio.run(main(setup())))
