"""Requests with answers by id, many at a time: `request()`, and the map of futures that a program writes by hand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

from onesocket import Client, Json, Requests

from ..workload import Sample, Workload
from .onesocket_client import OnesocketSubject

_CALLERS: Final = 100
_TIMEOUT: Final = 10.0

Ask = Callable[[dict[str, Any]], Awaitable[Any]]


class JsonAndOrders(Json[Any]):
    """JSON, and plain text for the orders to the server."""

    def encode(self, message: Any) -> str | bytes:
        """Leave text as it is."""
        return message if isinstance(message, str) else super().encode(message)


class RequestSubject(OnesocketSubject):
    """Base of both: a hundred tasks, each of which asks one question after the other."""

    requests: ClassVar[Requests | None] = None

    async def open(self) -> None:
        """Connect."""
        self.client = Client(self.url, protocol=JsonAndOrders(requests=self.requests), ping_interval=None)
        await self.client.connect()

    def ask(self) -> Ask:
        """Return the function that sends a request and returns its answer."""
        raise NotImplementedError

    async def run(self, work: Workload) -> Sample | None:
        """Ask; each answer has to be that of its own question."""
        ask, numbers, filler = self.ask(), iter(range(work.count)), "x" * max(0, work.size - 24)

        async def caller() -> None:
            for number in numbers:
                answer = await ask({"q": number, "data": filler})
                if answer["q"] != number:
                    raise RuntimeError("a caller got the answer to another question")

        await self.client.send(f"answer {work.count}")
        await asyncio.gather(*(caller() for _ in range(min(_CALLERS, work.count))))
        return None


class ClientRequests(RequestSubject):
    """`client.request()`."""

    requests = Requests()

    def ask(self) -> Ask:
        """Return a function of the client."""
        client = self.client
        return lambda message: client.request(message, timeout=_TIMEOUT)


class FutureMap(RequestSubject):
    """A dict of futures, a callback that resolves them, and a time-out."""

    def ask(self) -> Ask:
        """Return a function of its own; its callback goes with the client."""
        client, loop, numbers = self.client, asyncio.get_running_loop(), itertools.count(1)
        pending: dict[int, asyncio.Future[Any]] = {}

        def received(message: dict[str, Any]) -> None:
            future = pending.get(message["id"])
            if future is not None and not future.done():
                future.set_result(message)

        async def ask(message: dict[str, Any]) -> Any:
            number = next(numbers)
            future = pending[number] = loop.create_future()
            try:
                async with asyncio.timeout(_TIMEOUT):
                    await client.send({**message, "id": number})
                    return await future
            finally:
                del pending[number]

        client.on(None, received)
        return ask
