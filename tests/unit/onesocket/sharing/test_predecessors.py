"""A connection that is being closed, and those that come after it under the same key."""

from __future__ import annotations

import asyncio
from typing import Any

from onesocket import Client, join
from onesocket.testing import MemoryServer
from tests.unit.virtual_time import make_client, on_virtual_time, settle


@on_virtual_time
async def test_one_that_never_connected_does_not_hide_a_connection_that_is_being_closed() -> None:
    server = MemoryServer()

    def build() -> Client:
        return make_client(server)

    def joining() -> Any:
        return join("ws://memory.test/", scope="loop", client_factory=build)

    first = await joining()
    server.peers[0].answers_close = False
    closing = asyncio.ensure_future(first.aclose())
    await settle()
    second = joining().client()
    leaving = asyncio.ensure_future(second.aclose())
    await settle()
    third = await joining()
    assert (len(server.peers), server.most_open) == (2, 1)
    await asyncio.gather(closing, leaving, third.aclose())
