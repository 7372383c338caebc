"""Processes in which redis-py finds no hiredis: replies are parsed in Python, as where it isn't installed."""

from __future__ import annotations

import sys

sys.modules["hiredis"] = None  # type: ignore[assignment] # before the first import of redis

from .onesocket_cluster import ClusterConsumer, ClusterProducer  # noqa: E402 - see above
from .redis_stream import RedisStreamConsumer, RedisStreamProducer  # noqa: E402 - see above

__all__ = ["ClusterConsumer", "ClusterProducer", "RedisStreamConsumer", "RedisStreamProducer"]
