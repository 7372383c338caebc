"""A client as the upstream of a shared connection: the order of its events, and the fate of cancelled messages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from onesocket import Client, Gap, SharedClient, State, Status, join
from onesocket.client import Change
from onesocket.errors import ClientClosed, ConnectionRefused, DeliveryUnknown, OnesocketError
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.testing import MemoryServer

from ...virtual_time import greets, make_client, on_virtual_time, settle


class UpstreamRecorder:
    """A `UpstreamEvents` that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def messages(self, batch: list[Any]) -> None:
        self.told += batch

    def gap(self, gap: Gap) -> None:
        self.told.append(gap.reason.value)

    def changed(self, change: Change, status: Status) -> None:
        del status
        self.told.append(change.new)

    def failed(self, error: OnesocketError) -> None:
        self.told.append(type(error))


def attached(client: Client) -> tuple[ClientUpstream, list[Any]]:
    """An upstream that tells this client's events, and the list of them."""
    upstream, sink = ClientUpstream(client), UpstreamRecorder()
    upstream.attach(sink)
    return upstream, sink.told


@on_virtual_time
async def test_a_change_is_told_before_the_messages_that_come_after_it_in_the_same_turn() -> None:
    server = greets("hello")
    upstream, told = attached(make_client(server))
    await upstream.connect()
    await settle()
    server.peers[0].drop()
    await upstream.connect()
    await settle()
    await upstream.aclose()
    first = [State.CONNECTING, State.CONNECTED, "hello"]
    again = [State.CONNECTING, State.CONNECTED, "reconnected", "hello"]
    assert told[: len(first)] == first
    assert told[-len(again) - 2 :] == [*again, State.CLOSING, State.CLOSED]


@on_virtual_time
async def test_a_failure_is_told_behind_its_change() -> None:
    server = MemoryServer(lambda peer: peer.refuse(ConnectionRefused("no")))
    upstream, told = attached(make_client(server))
    with pytest.raises(ConnectionRefused):
        await upstream.connect()
    await settle()
    assert told == [State.CONNECTING, State.FAILED, ConnectionRefused]
    await upstream.aclose()


@on_virtual_time
async def test_while_it_is_held_the_socket_is_not_read() -> None:
    server = MemoryServer()
    upstream, told = attached(make_client(server))
    await upstream.connect()
    upstream.hold()
    upstream.hold()
    assert upstream.status.is_held
    await settle()
    server.peers[0].send("later")
    await settle()
    assert "later" not in told
    upstream.release()
    await settle()
    assert told[-1] == "later"
    await upstream.aclose()


@on_virtual_time
async def test_messages_that_a_client_had_before_it_was_shared_come_first() -> None:
    server = greets("hello")
    client = make_client(server)
    await client.connect()
    await settle()
    upstream, told = attached(client)
    server.peers[0].send("second")
    await settle()
    assert told == ["hello", "second"]
    await upstream.aclose()


# --- messages whose sender is cancelled ---------------------------------------------------------------------------


@on_virtual_time
async def test_a_cancelled_message_that_is_being_sent_again_may_have_arrived() -> None:
    server = MemoryServer()
    upstream, _ = attached(make_client(server))
    await upstream.connect()
    server.peers[0].stop_reading()
    sending = asyncio.create_task(upstream.send("twice", resend=True))
    await settle()
    server.on_dial = lambda peer: peer.refuse(OnesocketError("not now"))
    server.peers[0].drop()
    await settle()
    assert not sending.done(), "it waits for the next connection"
    sending.cancel()
    with pytest.raises(DeliveryUnknown):
        await sending
    await upstream.aclose()


@on_virtual_time
async def test_a_cancelled_message_that_still_waits_is_not_sent() -> None:
    server = MemoryServer()
    upstream, _ = attached(make_client(server))
    sending = asyncio.create_task(upstream.send("waits", resend=True))
    await settle()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await upstream.connect()
    await settle()
    assert server.peers[0].received == []
    await upstream.aclose()


@pytest.mark.parametrize("nowait", [False, True])
def test_a_shared_client_that_is_closed_while_its_message_is_sent_again_tells_that_it_may_have_arrived(
    *, nowait: bool
) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer()
        client = await join("ws://memory.test/", scope="loop", client_factory=lambda: make_client(server))
        server.peers[0].stop_reading()
        twice = start_sending(client, "twice", nowait=nowait)
        await settle()
        server.on_dial = lambda peer: peer.refuse(OnesocketError("not now"))
        server.peers[0].drop()
        await settle()
        assert not twice.done()
        waits = start_sending(client, "waits", nowait=nowait)
        await settle()
        await client.aclose()
        for sending, kind in ((twice, DeliveryUnknown), (waits, ClientClosed)):
            with pytest.raises(kind):
                await sending

    main()


def start_sending(client: SharedClient, text: str, *, nowait: bool) -> asyncio.Task[None]:
    async def send() -> None:
        if nowait:
            await client.send_nowait(text, resend=True)
        else:
            await client.send(text, resend=True)

    return asyncio.create_task(send())
