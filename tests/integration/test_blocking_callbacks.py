"""`on()` of a blocking client: a function in a thread of its own that ends that thread."""

import asyncio
import sys
import threading
from collections.abc import Callable

import pytest

from onesocket import blocking
from onesocket.sharing._join import join
from onesocket.testing import FaultyServer
from tests.exceptions import CustomBaseException

MANY = 10_000


def raises_custom() -> None:
    raise CustomBaseException


@pytest.mark.parametrize(("ends", "kind"), [(sys.exit, SystemExit), (raises_custom, CustomBaseException)])
async def test_one_that_ends_its_thread_is_told_and_holds_nobody_back(
    server: FaultyServer, caplog: pytest.LogCaptureFixture, ends: Callable[[], None], kind: type[BaseException]
) -> None:
    told: list[BaseException] = []
    came: list[str | bytes] = []

    def takes(message: str | bytes) -> None:
        came.append(message)
        ends()

    def begin() -> blocking.SharedClient:
        client = blocking.join(server.url, on_error=told.append)
        client.on(takes, limit=5, overflow="wait")
        return client

    async with join(server.url) as other:
        stream = other.subscribe()
        client = await asyncio.to_thread(begin)
        for number in range(MANY):
            server.connections[0].send_nowait(f"{number}")
        async with asyncio.timeout(20):
            assert [await anext(stream) for _ in range(MANY)] == [f"{number}" for number in range(MANY)]
        for thread in threading.enumerate():
            if thread.name == "onesocket callback":
                await asyncio.to_thread(thread.join, 5)
        await asyncio.to_thread(client.close)
    assert came == ["0"]
    assert [type(error) for error in told] == [kind]
    assert "takes, which is called no more, failed" in caplog.text
