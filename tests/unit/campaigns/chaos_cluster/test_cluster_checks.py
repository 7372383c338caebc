"""The checks of the campaign among hosts find what they are kept for."""

import asyncio

import pytest

from onesocket import Gap
from onesocket.client import GapReason
from tests.campaigns.chaos_cluster.cluster_faults import _OF_LINKS, QUICK, ClusterFaults
from tests.campaigns.chaos_cluster.engine_proxy import EngineProxy
from tests.campaigns.chaos_cluster.window_census import WindowCensus, by_host
from tests.campaigns.chaos_cluster.worker import ClusterReader
from tests.campaigns.harness.socket_census import TcpSocketState

UP = TcpSocketState.ESTABLISHED


def read(*items: str | Gap) -> ClusterReader:
    reader = ClusterReader(1)
    for item in items:
        reader.take(item)
    return reader


CHANGED = Gap(GapReason.RECONNECTED, epoch=2)


def overflow(missed: int | None) -> Gap:
    return Gap(GapReason.OVERFLOW, missed=missed, epoch=2)


def test_what_is_in_order_is_fine(wrong: list[str]) -> None:
    reader = read("1 1", "2 1", CHANGED, "5 2", "6 2", overflow(3), "10 2", overflow(None), "20 2", CHANGED, "21 2")
    assert (reader.changes, reader.lasting, wrong) == (2, 1, [])


def test_a_message_of_an_older_connection_is_wrong(wrong: list[str]) -> None:
    read("1 1", CHANGED, "2 2", CHANGED, "3 1")
    assert wrong == ["3 of connection 1 after one of 2"]


def test_a_new_connection_without_a_marker_is_wrong(wrong: list[str]) -> None:
    read("1 1", "2 2")
    assert wrong == ["2 of connection 2, and no marker of the change"]


@pytest.mark.parametrize("told", [2, 4])
def test_a_marker_with_another_number_is_wrong(told: int, wrong: list[str]) -> None:
    read("1 1", overflow(told), "5 1")
    assert wrong == [f"3 missing before 5, and {told} were told"]


def test_each_fault_can_be_dealt() -> None:
    faults = ClusterFaults.faults
    assert {*QUICK, *_OF_LINKS} <= faults.names
    assert {faults.chooser(seed).choose() for seed in range(1000)} == faults.names
    assert {faults.chooser(seed, without=_OF_LINKS).choose() for seed in range(1000)} == faults.names - set(_OF_LINKS)


def test_what_happens_in_a_window_counts_apart() -> None:
    listing = {1: UP}
    census = WindowCensus(lambda: dict(listing))
    with census.window("frozen"):
        listing[2] = UP
        census.take()
        del listing[1]
    census.take()
    assert (census.peak, census.windows, census.overlaps) == (1, {"frozen": 2}, [])
    listing[3] = UP
    census.take()
    assert census.peak == 2


def test_the_sockets_of_two_hosts_with_one_port_are_two() -> None:
    assert len(by_host({1: {5: UP}, 2: {5: UP}})) == 2


async def test_a_proxy_delays_and_keeps_back_what_passes() -> None:
    loop = asyncio.get_running_loop()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = EngineProxy("127.0.0.1", server.sockets[0].getsockname()[1])
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.delay = 0.02
    began = loop.time()
    writer.write(b"one")
    assert await reader.read(100) == b"one"
    assert loop.time() - began >= 2 * proxy.delay
    proxy.delay = 0.0
    proxy.set_plugged(plugged=False)
    writer.write(b"two")
    reading = asyncio.ensure_future(reader.read(100))
    await asyncio.wait([reading], timeout=0.02)
    assert not reading.done()
    proxy.set_plugged(plugged=True)
    assert await reading == b"two"
    server.close()
    await proxy.aclose()
    assert await reader.read(100) == b""
    writer.close()
