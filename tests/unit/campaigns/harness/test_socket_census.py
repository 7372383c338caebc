"""The census sees each socket that the kernel still has, and no pair that never existed at once."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from tests.campaigns.harness.socket_census import (
    IS_AVAILABLE,
    ClientSockets,
    SocketCensus,
    TcpSocketState,
    list_client_sockets,
)

UP = TcpSocketState.ESTABLISHED


def census_of(*listings: ClientSockets) -> SocketCensus:
    left = iter(listings)
    census = SocketCensus(lambda: next(left))
    for _ in range(len(listings) // 2):
        census.take()
    return census


def test_two_that_are_in_two_listings_existed_at_once() -> None:
    census = census_of({1: UP, 2: UP}, {1: TcpSocketState.FIN_WAIT1, 2: UP})
    assert census.peak == 2
    assert census.overlaps == ["ESTABLISHED to FIN_WAIT1 (port 1), ESTABLISHED to ESTABLISHED (port 2)"]


def test_one_that_ended_while_it_was_listed_and_the_next_are_no_two() -> None:
    census = census_of({1: UP}, {1: UP}, {1: UP, 2: UP}, {2: UP})
    assert (census.peak, census.overlaps) == (1, [])


needs_linux = pytest.mark.skipif(not IS_AVAILABLE, reason="Linux only")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


@needs_linux
def test_a_socket_counts_until_the_kernel_has_nothing_left_of_it(listening: socket.socket) -> None:
    address = listening.getsockname()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert list_client_sockets(address[1]) == {}
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(socket.create_connection(address))
        peer = stack.enter_context(listening.accept()[0])
        port = client.getsockname()[1]
        assert list_client_sockets(address[1]) == {port: UP}
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                client.send(bytes(1 << 16))
        client.close()  # no process has it, and the kernel still has bytes to deliver
        assert list_client_sockets(address[1]) == {port: TcpSocketState.FIN_WAIT1}
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert list_client_sockets(address[1]) == {}


@needs_linux
def test_a_closed_socket_counts_until_the_fin_of_both_ends_has_come(listening: socket.socket) -> None:
    address = listening.getsockname()
    with socket.create_connection(address) as client, listening.accept()[0] as peer:
        port = client.getsockname()[1]
        client.close()
        assert list(list_client_sockets(address[1])) == [port]  # the FIN may be acknowledged, or not yet
        peer.close()
        assert list_client_sockets(address[1]) == {}


@needs_linux
def test_a_reset_leaves_nothing(listening: socket.socket) -> None:
    address = listening.getsockname()
    with socket.create_connection(address) as client, listening.accept()[0]:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert list_client_sockets(address[1]) == {}


@needs_linux
def test_the_thread_sees_what_is_between_two_accepts(listening: socket.socket) -> None:
    address = listening.getsockname()
    seen = threading.Event()

    def listed() -> ClientSockets:
        found = list_client_sockets(address[1])
        if len(found) == 2 and census.peak == 2:
            seen.set()
        return found

    census = SocketCensus(listed)
    with census, socket.create_connection(address), socket.create_connection(address):
        assert seen.wait(10)
    assert census.peak == 2
