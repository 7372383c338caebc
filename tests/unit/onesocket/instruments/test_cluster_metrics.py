"""Metrics of a host's part in a cluster, as real SDKs export them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from onesocket.client import State, Status
from onesocket.client._cluster_status import ClusterRole, ClusterStatus
from onesocket.instruments import SourceKind
from onesocket.instruments._metrics import METRICS, label
from onesocket.transports._memory import MemoryServer
from tests.unit.onesocket.instruments.exporters import Scrape, Telemetry
from tests.unit.virtual_time import make_client, on_virtual_time

SERVER = {"server_address": "memory.test", "server_port": "80"}
PREFIX = "onesocket_client_cluster_"
LEADER = ClusterStatus(
    role=ClusterRole.LEADER,
    epoch=1_795_990_387_757_531,
    lease_remaining=7.5,
    renewal_duration=0.002,
    leader_changes=3,
    fenced_writes=2,
    engine_errors={"EngineUnavailable": 4, "EngineFull": 1},
)
FOLLOWER = ClusterStatus(role=ClusterRole.FOLLOWER, epoch=5, lag_records=12, lag_seconds=0.4, leader_changes=1)


class MemberProcess:
    """A source: a process that shares a connection."""

    def __init__(self, status: Status, cluster: ClusterStatus) -> None:
        self.status = status
        self.cluster_status = cluster


@pytest.fixture
def status() -> Status:
    made: list[Status] = []

    @on_virtual_time
    async def look() -> None:
        async with make_client(MemoryServer()) as client:
            made.append(client.status)

    look()
    return made[0]


def test_every_metric_of_a_cluster_is_exported_and_both_exporters_agree(status: Status) -> None:
    scrape, telemetry = Scrape(), Telemetry()
    leader, follower = MemberProcess(status, LEADER), MemberProcess(status, FOLLOWER)
    for each in (scrape.instruments, telemetry.instruments):
        each.add(leader, SourceKind.PROCESS)
        each.add(follower, SourceKind.FOLLOWER)
    expected: dict[str, Any] = {
        "epoch": LEADER.epoch,
        "leader_changes_total": 4,
        "lease_remaining_seconds": 7.5,
        "lease_renewal_duration_seconds": 0.002,
        "lag_records": 12,
        "lag_seconds": 0.4,
        "fenced_writes_total": 2,
    }
    for name, value in expected.items():
        assert (name, scrape.value(PREFIX + name, **SERVER)) == (name, value)
    for role in ClusterRole:
        count = scrape.value(PREFIX + "hosts", onesocket_cluster_role=role.value, **SERVER)
        assert count == (role in (ClusterRole.LEADER, ClusterRole.FOLLOWER))
    for error, count in LEADER.engine_errors.items():
        assert scrape.value(PREFIX + "engine_errors_total", error_type=error, **SERVER) == count
    connected = {"onesocket_connection_state": "connected", "onesocket_connection_role": "follower"}
    assert scrape.value("onesocket_client_connection_state", **connected) == 1  # the leader's is its client's to tell
    names = {metric.name: metric.series_name for metric in METRICS}
    exported = {
        (names[name], frozenset((label(key), text) for key, text in attributes)): value
        for (name, attributes), value in telemetry.points().items()
    }
    assert exported == scrape.series()
    clusters = {series for name, series in names.items() if ".cluster." in name}
    assert clusters == {name for name, _ in scrape.series() if name.startswith(PREFIX)}


def test_counters_stay_and_levels_go_with_the_process_that_was_the_member(status: Status) -> None:
    scrape = Scrape()
    process = MemberProcess(status, LEADER)
    scrape.instruments.add(process, SourceKind.PROCESS)
    assert scrape.value(PREFIX + "fenced_writes_total") == 2
    process.cluster_status = dataclasses.replace(
        ClusterStatus(), fenced_writes=3, leader_changes=3, engine_errors=LEADER.engine_errors
    )
    process.status = dataclasses.replace(status, state=State.CLOSED)
    scrape.instruments.remove(process)
    assert scrape.value(PREFIX + "fenced_writes_total") == 3
    assert scrape.value(PREFIX + "engine_errors_total", error_type="EngineFull") == 1
    assert not [name for name, _ in scrape.series() if name.removeprefix(PREFIX) in ("hosts", "epoch", "lag_records")]
