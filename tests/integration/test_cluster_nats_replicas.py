"""Coordination by a NATS cluster of three servers that keep each stream, one of which is killed."""

import json
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client

from onesocket import Raw
from onesocket.errors import EngineUnusable
from onesocket.sharing.cluster._cluster_options import ClusterOptions
from onesocket.sharing.cluster._coordinator import START, ClusterKey
from onesocket.sharing.cluster._nats_coordinator import NatsCoordinator
from onesocket.sharing.cluster._nats_records import NatsNames
from onesocket.testing import FaultyServer
from tests.support.cluster_hosts import Host
from tests.support.coordinator_checks import follow_all
from tests.support.engine_members import opened
from tests.support.nats_server import NatsServer, ask, nats_cluster, nats_server


async def test_hosts_keep_their_connection_when_the_server_that_leads_the_stream_is_killed(tmp_path: Path) -> None:
    with nats_cluster(tmp_path) as servers:
        url = "nats://" + ",".join(f"127.0.0.1:{each.port}" for each in servers.values())
        raw = await until_jetstream_serves(*servers.values())
        async with opened(NatsCoordinator(url, replicas=5)) as coordinator:
            with pytest.raises(EngineUnusable, match="has not 5 servers with JetStream"):
                await coordinator.check()
        # A new leader of the stream is elected within 4 to 9 seconds.
        options = ClusterOptions(engine=NatsCoordinator(f"{url}?replicas=3", timeout=1), lease=40, margin=1)
        async with FaultyServer() as upstream:
            hosts = [Host(upstream.url, tmp_path / str(number), options, Raw()) for number in range(2)]
            for host in hosts:
                await host.upstream.connect()
                await host.connected(1)
            await upstream.broadcast("one")
            for host in hosts:
                await host.got("one")

            names = NatsNames(ClusterKey.of(hosts[0].key.digest()), "a")
            led_by = (await ask(raw, f"STREAM.INFO.{names.stream}"))["cluster"]["leader"]
            await raw.close()
            servers[led_by].process.kill()
            servers[led_by].process.wait()

            await upstream.broadcast("two")
            for host in hosts:
                await host.got("two")
            assert hosts[0].upstream.is_owner
            assert (upstream.counts.upgraded, upstream.counts.most_open) == (1, 1)
            reader = options.engine.open(ClusterKey.of(hosts[0].key.digest()), "reader")
            info = await reader.lease()
            assert info is not None
            records = await follow_all(reader, START, 1)
            assert {each.position.epoch for each in records} == {info.epoch}
            await reader.aclose()
            for host in hosts:
                await host.upstream.aclose()


async def test_a_server_without_a_cluster_keeps_no_replicas() -> None:
    with nats_server() as server:
        async with opened(NatsCoordinator(server.url, replicas=3)) as coordinator:
            with pytest.raises(EngineUnusable, match="has not 3 servers with JetStream"):
                await coordinator.acquire(9, 0)


async def until_jetstream_serves(*servers: NatsServer) -> Client:
    """A client that is not ours, once the servers have found each other."""
    client = await servers[-1].client()
    while True:
        try:
            if "error" not in json.loads((await client.request("$JS.API.INFO", timeout=0.2)).data):
                return client
        except nats.errors.TimeoutError:
            continue
