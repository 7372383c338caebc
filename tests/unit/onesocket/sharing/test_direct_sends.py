"""Sends on the loop on which the connection lives go straight to it, in their order, and are told of as elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from onesocket import SharedClient, join
from onesocket.errors import ClientClosed, DeliveryUnknown, EncodeError, ManuallyDisconnected, OnesocketError
from onesocket.testing import MemoryServer

from ...virtual_time import make_client, on_virtual_time, settle


async def joined(server: MemoryServer, on_error: Callable[[BaseException], object] | None = None) -> SharedClient[Any]:
    return await join(
        "ws://memory.test/", key="one", scope="loop", client_factory=lambda: make_client(server), on_error=on_error
    )


@on_virtual_time
async def test_a_message_is_with_the_server_in_the_turn_that_sends_it_without_a_task() -> None:
    server = MemoryServer()
    client = await joined(server)
    before = asyncio.all_tasks()
    assert client.send_nowait("first").done
    sending = client.send("second")
    with pytest.raises(StopIteration):
        sending.send(None)  # it waits for nothing
    assert asyncio.all_tasks() == before
    assert client.stats.sent == 2
    await settle()
    assert server.peers[0].received == ["first", "second"]
    await client.aclose()


@on_virtual_time
async def test_a_message_does_not_overtake_an_earlier_call_of_another_kind() -> None:
    client = await joined(MemoryServer())
    stopping = asyncio.create_task(client.disconnect())
    sending = asyncio.create_task(client.send("too late"))
    await stopping
    with pytest.raises(ManuallyDisconnected):
        await sending
    await client.aclose()


@on_virtual_time
async def test_failures_come_with_the_delivery_and_are_reported_once_if_it_is_not_awaited() -> None:
    server, errors = MemoryServer(), list[BaseException]()
    client = await joined(server, errors.append)
    with pytest.raises(EncodeError):
        await client.send_nowait(object())
    assert errors == []
    ignored = client.send_nowait(object())
    await settle()
    assert ignored.done
    assert [type(error) for error in errors] == [EncodeError]
    assert client.stats.sent == 0
    await client.aclose()


@on_virtual_time
async def test_messages_that_wait_are_counted_once_sent_and_their_failures_are_the_client_s() -> None:
    server, errors = MemoryServer(), list[BaseException]()
    client = await joined(server, errors.append)
    other = await joined(server)
    server.on_dial = lambda peer: peer.refuse(OnesocketError("not now"))
    server.peers[0].drop()
    await settle()
    waiting = client.send_nowait("waits")
    assert not waiting.done
    assert "sending=1" in repr(client)
    await other.disconnect()
    await settle()
    assert [type(error) for error in errors] == [ManuallyDisconnected]
    assert client.stats.sent == 0
    server.on_dial = lambda peer: peer.accept()
    await client.reconnect()
    server.peers[-1].stop_reading()
    flying = client.send_nowait("written")
    assert not flying.done
    assert client.stats.sent == 0
    server.peers[-1].resume_reading()
    await flying
    assert client.stats.sent == 1
    assert "sending=0" in repr(client)
    await other.aclose()
    await client.aclose()


@on_virtual_time
async def test_a_message_of_a_client_that_was_never_connected_is_told_as_not_sent() -> None:
    server = MemoryServer()
    client = join("ws://memory.test/", key="one", scope="loop", client_factory=lambda: make_client(server)).client()
    waiting = client.send_nowait("waits")
    await settle()
    await client.aclose()
    with pytest.raises(ClientClosed):
        await waiting
    assert server.peers == []


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_call_that_is_ended_leaves_no_cancellation_in_its_caller(*, is_cancelled: bool) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer()
        client = await joined(server)
        other = await joined(server)
        server.peers[0].stop_reading()
        flying, cancellations = asyncio.Event(), list[int]()

        async def send() -> None:
            me = asyncio.current_task()
            assert me is not None
            try:
                flying.set()
                await client.send("written")
            finally:
                cancellations.append(me.cancelling())

        before = asyncio.all_tasks()
        sending = asyncio.create_task(send())
        await flying.wait()
        await settle()
        assert asyncio.all_tasks() - before == {sending}
        leaving = asyncio.create_task(client.aclose())
        if is_cancelled:
            sending.cancel()
        await leaving
        with pytest.raises(asyncio.CancelledError if is_cancelled else DeliveryUnknown):
            await sending
        assert cancellations == [1 if is_cancelled else 0]
        await other.aclose()

    main()


@on_virtual_time
async def test_a_caller_that_is_cancelled_while_its_message_waits_is_cancelled() -> None:
    server = MemoryServer()
    client = join("ws://memory.test/", key="one", scope="loop", client_factory=lambda: make_client(server)).client()
    sending = asyncio.create_task(client.send("waits"))
    await settle()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await client.connect()
    await settle()
    assert server.peers[0].received == []
    await client.aclose()


@on_virtual_time
async def test_a_time_out_of_a_message_that_is_being_sent_is_a_time_out() -> None:
    server = MemoryServer()
    client = await joined(server)
    server.peers[0].stop_reading()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await client.send("written")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.send("written"), 1)
    server.peers[0].drop()
    await client.aclose()
