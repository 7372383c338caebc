"""The feed of a client to those who share it."""

import asyncio
from typing import Any

import pytest

from onesocket import Client
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.testing import FaultyServer
from tests.exceptions import CustomBaseException


class RaisingSink:
    """A `UpstreamEvents` that raises once."""

    def __init__(self, raises: type[BaseException]) -> None:
        self._raises: type[BaseException] | None = raises
        self.came: asyncio.Queue[Any] = asyncio.Queue()

    def messages(self, batch: list[Any]) -> None:
        for message in batch:
            self.came.put_nowait(message)
        raises, self._raises = self._raises, None
        if raises is not None:
            raise raises

    def gap(self, gap: Any) -> None:
        raise AssertionError(gap)

    def failed(self, error: Any) -> None:
        raise AssertionError(error)

    def changed(self, change: Any, status: Any) -> None:
        del change, status


@pytest.mark.parametrize("kind", [CustomBaseException, RuntimeError])
async def test_the_feed_outlives_whatever_is_raised_in_it(
    kind: type[BaseException], loop_errors: list[dict[str, Any]]
) -> None:
    sink = RaisingSink(kind)
    async with FaultyServer() as server:
        upstream = ClientUpstream(Client(server.url))
        upstream.attach(sink)
        await upstream.connect()
        async with asyncio.timeout(20):
            for message in ("0", "1", "2"):
                await server.broadcast(message)
                assert await sink.came.get() == message
        await upstream.aclose()
    assert [type(error["exception"]) for error in loop_errors] == [kind]
    loop_errors.clear()


def test_ctrl_c_in_a_loop_that_goes_on_ends_no_feed() -> None:
    loop = asyncio.new_event_loop()
    sink = RaisingSink(KeyboardInterrupt)

    async def begin() -> tuple[FaultyServer, ClientUpstream]:
        server = FaultyServer()
        await server.start()
        upstream = ClientUpstream(Client(server.url))
        upstream.attach(sink)
        await upstream.connect()
        return server, upstream

    server, upstream = loop.run_until_complete(begin())
    sending = loop.create_task(server.broadcast("0"))
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(loop.create_future())
    for call in (
        sending,
        server.broadcast("1"),
        asyncio.wait_for(sink.came.get(), 20),
        asyncio.wait_for(sink.came.get(), 20),
    ):
        loop.run_until_complete(call)
    loop.run_until_complete(upstream.aclose())
    loop.run_until_complete(server.aclose())
    loop.close()
