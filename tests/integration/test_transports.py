"""Every transport that comes along passes the one suite; so can a user's own."""

import asyncio
import ssl
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from onesocket import Client
from onesocket.client import _transport_choice as transport_choice
from onesocket.errors import InvalidOption, MessageTooBig, OnesocketError
from onesocket.testing import (
    FaultyServer,
    LoopbackTestPeer,
    PeerFeature,
    TransportCheck,
    check_transport,
    skipped_checks,
    transport_checks,
)
from onesocket.transports._transport import Transport, TransportEvents
from onesocket.transports._websocket import WebSocketTransport
from onesocket.wire._handshake import Data, DialRequest
from tests.integration.memory_test_peer import MemoryTestPeer

DEADLINE = 10

REAL: dict[str, tuple[Callable[[], Transport], bool]] = {
    "plain": (WebSocketTransport, False),
    "compression declined": (lambda: WebSocketTransport(compression="deflate"), False),
    "compressed": (lambda: WebSocketTransport(compression="deflate"), True),
}


@pytest.mark.parametrize("check", transport_checks(), ids=str)
@pytest.mark.parametrize("transport", REAL)
async def test_a_real_transport(transport: str, check: TransportCheck) -> None:
    make, compression = REAL[transport]
    # A check raises where the transport breaks the rule.
    await check.run(make, LoopbackTestPeer(compression=compression))


@pytest.mark.parametrize("check", transport_checks(MemoryTestPeer()), ids=str)
async def test_the_transport_in_memory(check: TransportCheck) -> None:
    peer = MemoryTestPeer()
    # As above.
    await check.run(peer.transport, peer)


# --- the suite itself ---------------------------------------------------------------------------------------


def test_what_is_left_out_in_memory_is_said_with_its_reason() -> None:
    peer = MemoryTestPeer()
    left_out = skipped_checks(peer)
    names = [check.name for check in transport_checks()]
    assert len(set(names)) == len(names)
    assert set(left_out) | {check.name for check in transport_checks(peer)} == set(names)
    assert left_out["a pause is felt by the peer"] == peer.unsupported[PeerFeature.PRESSURE]
    assert all(left_out.values())
    assert skipped_checks(LoopbackTestPeer()) == {}
    with pytest.raises(LookupError, match="no bytes"):
        _ = peer.server


async def test_all_checks_at_once() -> None:
    peer = MemoryTestPeer()
    assert await check_transport(peer.transport, peer=peer) == [check.name for check in transport_checks(peer)]


async def test_a_transport_that_breaks_its_promises_is_found_out() -> None:
    class EndsTwice:
        def __init__(self, events: TransportEvents) -> None:
            self._events = events

        def __getattr__(self, name: str) -> Any:
            return getattr(self._events, name)

        def ended(self, error: OnesocketError) -> None:
            self._events.ended(error)
            self._events.ended(error)

    peer = MemoryTestPeer()

    class Broken:
        name = "broken"

        def dial(self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]) -> Any:
            twice: Any = EndsTwice(events)
            return peer.transport().dial(request, twice, received)

    with pytest.raises(ExceptionGroup, match="checks of the transport failed") as caught:
        await check_transport(Broken, peer=peer)
    assert any(
        "opens once: violations of the contract: ['`ended` twice']" in str(error) for error in caught.value.exceptions
    )


# --- what the suite leaves to these: TLS and proxies ---------------------------------------------------------


@pytest.fixture
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server on 127.0.0.1, and for a client that trusts it."""
    authority = trustme.CA()
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serves)
    trusts = ssl.create_default_context()
    authority.configure_trust(trusts)
    return serves, trusts


@pytest.mark.parametrize("transport", REAL)
async def test_a_quiet_server_does_not_make_tls_look_full(
    transport: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    make, _ = REAL[transport]
    async with (
        FaultyServer(ssl=contexts[0], echo=False) as server,
        Client(server.url, ssl=contexts[1], ping_interval=None, transport=make()) as client,
        asyncio.timeout(DEADLINE),
    ):
        for number in range(5):
            await client.send(f"{number}")
        await server.wait_until(lambda counts: counts.messages_received == 5)
        assert server.received == ["0", "1", "2", "3", "4"]


async def relay(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
    finally:
        sink.close()


@pytest.mark.parametrize("transport", REAL)
@pytest.mark.parametrize("secure", [False, True])
async def test_through_a_socks_proxy(
    transport: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext], secure: bool
) -> None:
    make, _ = REAL[transport]
    asked: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly((await reader.readexactly(2))[1])  # RFC 1928, section 3: the methods
        writer.write(b"\x05\x00")
        await reader.readexactly(8)  # section 4: CONNECT to an IPv4 address
        asked.append(int.from_bytes(await reader.readexactly(2), "big"))
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", asked[0])
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await asyncio.gather(relay(reader, up_writer), relay(up_reader, writer))

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with proxy, FaultyServer(ssl=contexts[0] if secure else None) as server:
        url = f"socks5://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        trust = contexts[1] if secure else None
        async with Client(server.url, ssl=trust, proxy=url, transport=make()) as client, asyncio.timeout(DEADLINE):
            stream = client.subscribe()
            await client.send("through")
            assert await anext(stream) == "through"
        await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
        assert asked == [server.port]
        assert server.counts.unclean_closes == 0


# --- compression --------------------------------------------------------------------------------------------


async def test_compression_is_agreed_on_and_used_both_ways() -> None:
    async with FaultyServer(compression="deflate") as server, Client(server.url, compression="deflate") as client:
        stream = client.subscribe()
        for message in ("x" * 100_000, b"y" * 100_000, "", "☃"):
            await client.send(message)
            assert await anext(stream) == message
        assert "permessage-deflate" in server.connections[0].request_headers["Sec-WebSocket-Extensions"]


async def test_a_server_that_declines_compression_is_talked_to_without() -> None:
    async with FaultyServer() as server, Client(server.url, compression="deflate") as client:
        stream = client.subscribe()
        await client.send("plain")
        assert await anext(stream) == "plain"


@pytest.mark.parametrize("fragments", [1, 2])
async def test_a_deflate_bomb_is_a_message_that_is_too_big(fragments: int) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(50_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH)
    half = len(bomb) // fragments
    head = bytes([0xC2 if fragments == 1 else 0x42, 126]) + half.to_bytes(2, "big")
    frames = head + bomb[:half]
    if fragments == 2:
        frames += b"\x80\x7e" + (len(bomb) - half).to_bytes(2, "big") + bomb[half:]
    async with FaultyServer(compression="deflate") as server:
        client = Client(server.url, compression="deflate", reconnect=None)
        changes = client.changes()
        await client.connect()
        server.connections[0].write_raw(frames)
        async with asyncio.timeout(DEADLINE):
            async for change in changes:
                if change.error is not None:
                    assert type(change.error) is MessageTooBig
                    break
        await client.aclose()
        assert server.counts.close_codes == {1009: 1}


# --- which transport ----------------------------------------------------------------------------------------


def test_the_default_compresses_on_request() -> None:
    for compression in (None, "deflate"):
        transport = transport_choice.default_transport(compression)
        assert isinstance(transport, WebSocketTransport)
        assert transport.compression == compression


def test_what_a_given_transport_can_not_do_is_refused() -> None:
    with pytest.raises(InvalidOption, match="leave transport= out"):
        Client("ws://example.org/", transport=WebSocketTransport(), compression="deflate")
    with pytest.raises(InvalidOption, match="'gzip'"):
        Client("ws://example.org/", compression="gzip")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidOption, match="'gzip'"):
        WebSocketTransport(compression="gzip")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    given = WebSocketTransport(compression="deflate")
    assert transport_choice.choose_transport(given, "deflate") is given
    assert transport_choice.choose_transport(given, None) is given
