"""One connection for the hosts of a fleet: `scope="cluster"`, coordinated by an engine that exists (Redis, NATS)."""

from ...errors import (
    EngineCommandDenied,
    EngineFull,
    EngineKeyTaken,
    EngineLoginRefused,
    EngineUnavailable,
    EngineUnusable,
)
from ._cluster_options import ClusterOptions, OnEngineLost
from ._feed_retention import Retention
from ._nats_coordinator import NatsCoordinator
from ._redis_coordinator import RedisCoordinator

__all__ = [
    "ClusterOptions",
    "EngineCommandDenied",
    "EngineFull",
    "EngineKeyTaken",
    "EngineLoginRefused",
    "EngineUnavailable",
    "EngineUnusable",
    "NatsCoordinator",
    "OnEngineLost",
    "RedisCoordinator",
    "Retention",
]
