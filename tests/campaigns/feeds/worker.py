"""One process of the feeds soak: some readers of all venues."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import signal
import time
from collections import Counter
from typing import Any

from onesocket import OnesocketError
from tests.campaigns.harness.orders import Order, serve_orders, setup, write_event
from tests.campaigns.harness.probe import sample

from .readers import FeedReader, LoopReader, ThreadReader


class FeedsWorker:
    """The readers of this process: on its event loop, and in threads."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.loop_readers = [LoopReader(number, given, _report) for number in given["on the loop"]]
        self.thread_readers = [ThreadReader(number, given, _report) for number in given["in threads"]]
        self._given = given
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def readers(self) -> list[FeedReader]:
        """All of them."""
        return [*self.loop_readers, *self.thread_readers]

    async def start(self, _: Order) -> None:
        """Join all accounts, and read."""
        self._tasks = [asyncio.create_task(reader.run(changes=True)) for reader in self.loop_readers]
        for reader in self.loop_readers:
            ready = asyncio.create_task(reader.ready.wait())
            await asyncio.wait([ready, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in self._tasks:
            if task.done():
                task.result()
        for each in self.thread_readers:
            await asyncio.to_thread(each.start)

    async def busy(self, order: Order) -> None:
        """Begin or end changes of subscriptions, and requests."""
        for reader in self.loop_readers:
            (reader.busy.set if order["on"] else reader.busy.clear)()
        deadline = time.monotonic() + 40.0
        while not order["on"] and any(reader.changing for reader in self.loop_readers):
            if time.monotonic() > deadline:
                _report(f"changes of subscriptions took 40 s: {[each.changing for each in self.loop_readers]}")
                return
            await asyncio.sleep(0.05)

    async def state(self, _: Order) -> dict[int, Any]:
        """Return the states of the readers."""
        return {reader.number: reader.state() for reader in self.readers}

    async def rotate(self, order: Order) -> str:
        """Call `rotate()`."""
        reader = self.loop_readers[order["reader"] % len(self.loop_readers)]
        try:
            await reader.clients[order["service"]].rotate()
        except OnesocketError as error:
            return type(error).__name__
        return "done"

    async def sample(self, _: Order) -> dict[str, int]:
        """Measure this process."""
        return sample().as_dict()

    async def outcomes(self, _: Order) -> dict[str, Any]:
        """How requests ended, and the envelopes of each reader."""
        outcomes: Counter[str] = Counter()
        envelopes: dict[int, Any] = {}
        for reader in self.readers:
            outcomes.update(reader.outcomes)
            for view in reader.views.values():
                if view.envelopes is not None:
                    numbers = base64.b64encode(view.envelopes.numbers).decode()
                    envelopes[reader.number] = {"numbers": numbers, "gaps": view.envelopes.gaps}
        return {"requests": outcomes, "envelopes": envelopes}

    async def close(self, _: Order) -> None:
        """Leave."""
        for each in self.thread_readers:
            await asyncio.to_thread(each.stop)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def perform(self, order: Order) -> Any:
        """Call the method that has the order's name."""
        return await getattr(self, order["do"])(order)


def _report(text: str) -> None:
    write_event("wrong", text=text)


async def main(given: dict[str, Any]) -> None:
    """Serve orders until stdin ends or this process has left."""
    logging.getLogger("onesocket").setLevel(logging.CRITICAL)  # losses are what this is about
    worker = FeedsWorker(given)
    write_event("ready")
    await serve_orders(worker.perform)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that ends this one
    asyncio.run(main(setup()))
    os._exit(0)
