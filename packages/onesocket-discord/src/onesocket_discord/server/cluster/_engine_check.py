"""Finds out whether a Redis or Valkey server can serve the servers of a cluster, before one of them takes part."""

from __future__ import annotations

from typing import Final

from onesocket.sharing.cluster._redis_check import check_rights, taken_key
from onesocket.sharing.cluster._redis_client import RedisClient
from onesocket.sharing.cluster._redis_scripts import TRY, RedisScript

from ._event_stream import ClusterKeys

_REMEDY: Final = "delete it, or give the chat another database of the engine"

_PROBE: Final = RedisScript(
    "probe",
    TRY
    + """
try('SET', key, '1', 'NX', 'PX', '1000')
try('GET', key)
try('INCR', key)
try('EXISTS', key)
try('PTTL', key)
try('PEXPIRE', key, '1000')
redis.pcall('DEL', key)
try('HSET', key, 'a', '1')
try('HGET', key, 'a')
try('HINCRBY', key, 'a', 1)
try('HGETALL', key)
try('HDEL', key, 'a')
try('EXPIRE', key, '1')
redis.pcall('DEL', key)
try('SADD', key, 'a')
try('SMEMBERS', key)
try('SREM', key, 'a')
redis.pcall('DEL', key)
try('ZADD', key, 'NX', '1', 'a')
try('ZRANGE', key, 0, -1)
try('ZREMRANGEBYRANK', key, 0, -10)
try('ZREMRANGEBYSCORE', key, '-inf', '1')
redis.pcall('DEL', key)
try('XADD', key, '1-1', 'a', 'a')
try('XREAD', 'COUNT', 1, 'STREAMS', key, '0')
try('XRANGE', key, '-', '+', 'COUNT', 1)
redis.pcall('DEL', key)
return refused
""",
)


async def check_engine(client: RedisClient, keys: ClusterKeys, where: str, prefix: str) -> None:
    """Raise the first fault: `EngineUnusable` with the command or key and the remedy, or an error that may pass."""
    await check_rights(client, _PROBE, keys.probe, where, prefix)
    taken = await taken_key(client, keys.kinds(), where, _REMEDY)
    if taken is not None:
        raise taken
