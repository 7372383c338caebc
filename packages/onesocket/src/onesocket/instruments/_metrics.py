"""The metrics of connections, as a table: one vocabulary for OpenTelemetry, Prometheus and the hub.

Names and attributes follow OpenTelemetry's semantic conventions (names with dots; units by UCUM; `server.*` and
`network.*` where these exist). Those of Prometheus are what OpenTelemetry's exporters would make of them, so one
dashboard serves both.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from ..client._cluster_status import ClusterRole, ClusterStatus
from ..client._gap import GapReason
from ..client._instruments import SourceKind
from ..client._status import ConnectionStats, Stats, Status
from ..lifecycle._states import State

Attributes = tuple[tuple[str, str | int], ...]
Sample = tuple[Attributes, float]

NAME: Final = "onesocket.connection.name"
STATE: Final = "onesocket.connection.state"
ROLE: Final = "onesocket.connection.role"
REASON: Final = "onesocket.gap.reason"
CLUSTER_ROLE: Final = "onesocket.cluster.role"
ERROR: Final = "error.type"
DIRECTION: Final = "network.io.direction"
SOURCE_ATTRIBUTES: Final = ("server.address", "server.port", NAME)

_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}
_UNIT_SUFFIXES: Final = {"By": "_bytes", "s": "_seconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReading:
    """Snapshots of one source at one moment; what doesn't concern its kind is None."""

    role: str | None = None
    """``"owner"`` (this process holds the connection) or ``"follower"``; None: another source tells its state."""
    status: Status | None = None
    """For the state, its epoch and what waits for the connection."""
    connection: ConnectionStats | None = None
    stats: Stats | None = None
    """Counters of its own readers."""
    inbox: int | None = None
    cluster: ClusterStatus | None = None
    """Part of this host, where it shares the connection with others."""


def read_source(
    kind: SourceKind, status: Status, stats: Stats | None, cluster: ClusterStatus | None = None
) -> SourceReading:
    """Returns what these snapshots of a source of this kind mean."""
    match kind:
        case SourceKind.CONNECTION if stats is not None:
            connection = stats.connection
            return SourceReading(role="owner", status=status, connection=connection, stats=stats, inbox=status.inbox)
        case SourceKind.READER:
            return SourceReading(stats=stats, inbox=status.inbox)
        case SourceKind.FOLLOWER:
            return SourceReading(role="follower", status=status, cluster=cluster)
        case SourceKind.PROCESS:
            return SourceReading(cluster=cluster)
        case _:
            return SourceReading()


class MetricKind(enum.Enum):
    """Kind of a metric, by OpenTelemetry's names."""

    COUNTER = "counter"
    UP_DOWN_COUNTER = "up-down counter"
    """A level that adds up over sources; in Prometheus a gauge."""
    GAUGE = "gauge"
    """A value that doesn't add up: the largest of all sources counts."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    unit: str
    """By UCUM."""
    kind: MetricKind
    description: str
    read: Callable[[SourceReading], Iterable[Sample]]
    attributes: tuple[str, ...] = ()
    """Its attributes, beside those of the source."""

    @property
    def prometheus_name(self) -> str:
        """The name with the suffix of its unit; a counter also gets ``_total``."""
        return self.name.replace(".", "_") + _UNIT_SUFFIXES.get(self.unit, "")

    @property
    def prometheus_type(self) -> str:
        """``"counter"`` or ``"gauge"``."""
        return "counter" if self.kind is MetricKind.COUNTER else "gauge"

    @property
    def series_name(self) -> str:
        """The name of its series in Prometheus."""
        return self.prometheus_name + ("_total" if self.kind is MetricKind.COUNTER else "")

    def merge(self, one: float, other: float) -> float:
        """The value of two sources together."""
        return max(one, other) if self.kind is MetricKind.GAUGE else one + other


def label(attribute: str) -> str:
    """The name of an attribute as Prometheus' label."""
    return attribute.replace(".", "_")


@lru_cache(maxsize=256)
def server_attributes(url: str) -> Attributes:
    """The server's address and port of a shown URL; nothing if it isn't known yet."""
    parts = urlsplit(url)
    if parts.scheme == "ws+unix":
        return (("server.address", parts.path.partition(":")[0]),)
    if parts.scheme not in _DEFAULT_PORTS or parts.hostname is None:
        return ()
    return ("server.address", parts.hostname), ("server.port", parts.port or _DEFAULT_PORTS[parts.scheme])


def _states(reading: SourceReading) -> Iterable[Sample]:
    if reading.role is not None and reading.status is not None:
        for state in State:
            yield ((STATE, state.name.lower()), (ROLE, reading.role)), int(state is reading.status.state)


def _epoch(reading: SourceReading) -> Iterable[Sample]:
    if reading.status is not None:
        yield (), reading.status.epoch


def _rtt(reading: SourceReading) -> Iterable[Sample]:
    if reading.role == "owner" and reading.status is not None and reading.status.rtt is not None:
        yield (), reading.status.rtt


def _outbox(reading: SourceReading) -> Iterable[Sample]:
    if reading.status is not None:
        yield (), reading.status.outbox


def _inbox(reading: SourceReading) -> Iterable[Sample]:
    if reading.inbox is not None:
        yield (), reading.inbox


def _io(reading: SourceReading) -> Iterable[Sample]:
    counts = reading.connection
    if counts is not None and counts.received_bytes is not None and counts.sent_bytes is not None:
        yield ((DIRECTION, "receive"),), counts.received_bytes
        yield ((DIRECTION, "transmit"),), counts.sent_bytes


def _gaps(reading: SourceReading) -> Iterable[Sample]:
    if reading.connection is not None:
        yield ((REASON, GapReason.RECONNECTED.value),), reading.connection.gaps
        yield ((REASON, GapReason.UNDECODABLE.value),), reading.connection.undecodable
    if reading.stats is not None:
        yield ((REASON, GapReason.OVERFLOW.value),), reading.stats.overflows


def _of_connection(count: Callable[[ConnectionStats], int]) -> Callable[[SourceReading], Iterable[Sample]]:
    return lambda reading: () if reading.connection is None else (((), count(reading.connection)),)


def _of_readers(count: Callable[[Stats], int]) -> Callable[[SourceReading], Iterable[Sample]]:
    return lambda reading: () if reading.stats is None else (((), count(reading.stats)),)


def _cluster_roles(reading: SourceReading) -> Iterable[Sample]:
    if reading.cluster is not None and reading.cluster.role is not None:
        for role in ClusterRole:
            yield ((CLUSTER_ROLE, role.value),), int(role is reading.cluster.role)


def _engine_errors(reading: SourceReading) -> Iterable[Sample]:
    if reading.cluster is not None:
        for name, count in reading.cluster.engine_errors.items():
            yield ((ERROR, name),), count


def _of_cluster(level: Callable[[ClusterStatus], float | None]) -> Callable[[SourceReading], Iterable[Sample]]:
    def read(reading: SourceReading) -> Iterable[Sample]:
        value = None if reading.cluster is None else level(reading.cluster)
        if value is not None:
            yield (), value

    return read


METRICS: Final = (
    Metric(
        "onesocket.client.connection.state",
        "{connection}",
        MetricKind.UP_DOWN_COUNTER,
        "Connections in each state, by the role of this process: a follower uses another process' connection.",
        _states,
        (STATE, ROLE),
    ),
    Metric(
        "onesocket.client.connection.epoch",
        "{connection}",
        MetricKind.GAUGE,
        "Number of the newest connection.",
        _epoch,
    ),
    Metric(
        "onesocket.client.connection.attempts",
        "{attempt}",
        MetricKind.COUNTER,
        "Connections dialled.",
        _of_connection(lambda counts: counts.attempts),
    ),
    Metric(
        "onesocket.client.connection.reconnects",
        "{connection}",
        MetricKind.COUNTER,
        "Connections that came up again after an earlier one.",
        _of_connection(lambda counts: counts.reconnects),
    ),
    Metric(
        "onesocket.client.received.messages",
        "{message}",
        MetricKind.COUNTER,
        "Messages received.",
        _of_connection(lambda counts: counts.received),
    ),
    Metric(
        "onesocket.client.sent.messages",
        "{message}",
        MetricKind.COUNTER,
        "Messages written to a socket.",
        _of_connection(lambda counts: counts.sent),
    ),
    Metric(
        "onesocket.client.io",
        "By",
        MetricKind.COUNTER,
        "Bytes of WebSocket frames, compressed if they are, without TLS.",
        _io,
        (DIRECTION,),
    ),
    Metric(
        "onesocket.client.gaps",
        "{gap}",
        MetricKind.COUNTER,
        "Places where messages are or may be missing, by reason; those of slow readers for each reader.",
        _gaps,
        (REASON,),
    ),
    Metric(
        "onesocket.client.dropped.messages",
        "{message}",
        MetricKind.COUNTER,
        "Messages dropped for readers that were too slow, each counted for each reader.",
        _of_readers(lambda counts: counts.dropped),
    ),
    Metric(
        "onesocket.client.outbox.size",
        "{message}",
        MetricKind.UP_DOWN_COUNTER,
        "Messages that wait to be sent.",
        _outbox,
    ),
    Metric(
        "onesocket.client.inbox.size",
        "{message}",
        MetricKind.GAUGE,
        "Messages that wait for the slowest reader.",
        _inbox,
    ),
    Metric(
        "onesocket.client.rtt",
        "s",
        MetricKind.GAUGE,
        "Newest measured round trip of a PING.",
        _rtt,
    ),
    Metric(
        "onesocket.client.callback.errors",
        "{error}",
        MetricKind.COUNTER,
        "Exceptions of callbacks, and failed deliveries that were not awaited.",
        _of_readers(lambda counts: counts.callback_errors),
    ),
    Metric(
        "onesocket.client.cluster.hosts",
        "{host}",
        MetricKind.UP_DOWN_COUNTER,
        "Hosts of a cluster in each role.",
        _cluster_roles,
        (CLUSTER_ROLE,),
    ),
    Metric(
        "onesocket.client.cluster.epoch",
        "{epoch}",
        MetricKind.GAUGE,
        "Newest epoch of the cluster that this host has heard of.",
        _of_cluster(lambda cluster: cluster.epoch or None),
    ),
    Metric(
        "onesocket.client.cluster.leader.changes",
        "{change}",
        MetricKind.COUNTER,
        "Times that another epoch, with its leader, began while this host took part.",
        _of_cluster(lambda cluster: cluster.leader_changes),
    ),
    Metric(
        "onesocket.client.cluster.lease.remaining",
        "s",
        MetricKind.GAUGE,
        "Time until the lease of this host ends, if it is not renewed; of a leader.",
        _of_cluster(lambda cluster: cluster.lease_remaining),
    ),
    Metric(
        "onesocket.client.cluster.lease.renewal.duration",
        "s",
        MetricKind.GAUGE,
        "Time that the last renewal of the lease took; of a leader.",
        _of_cluster(lambda cluster: cluster.renewal_duration),
    ),
    Metric(
        "onesocket.client.cluster.lag.records",
        "{record}",
        MetricKind.GAUGE,
        "Records of the feed that this host had not read at its last announcement; of a follower.",
        _of_cluster(lambda cluster: cluster.lag_records),
    ),
    Metric(
        "onesocket.client.cluster.lag",
        "s",
        MetricKind.GAUGE,
        "Age of the first of those; of a follower.",
        _of_cluster(lambda cluster: cluster.lag_seconds),
    ),
    Metric(
        "onesocket.client.cluster.fenced.writes",
        "{write}",
        MetricKind.COUNTER,
        "Writes that the engine refused, as their epoch did not hold the lease any more.",
        _of_cluster(lambda cluster: cluster.fenced_writes),
    ),
    Metric(
        "onesocket.client.cluster.engine.errors",
        "{error}",
        MetricKind.COUNTER,
        "Operations that the engine did not carry out, and tasks that failed unexpectedly, by error; they go on.",
        _engine_errors,
        (ERROR,),
    ),
)
