"""Finds out whether a Redis or Valkey server can serve a cluster, and says what an operator has to change."""

from __future__ import annotations

from typing import Any, Final

from ...errors import EngineKeyTaken, EngineUnusable
from ._redis_client import RedisClient
from ._redis_errors import denied_commands
from ._redis_records import KINDS, RedisKeys
from ._redis_scripts import PROBE

OLDEST: Final = (7, 0)


async def check(client: RedisClient, keys: RedisKeys, where: str, prefix: str) -> None:
    """As `Coordinator.check`: raises the first fault."""
    info: dict[str, Any] = await client.run("INFO")
    check_server(info, where)
    refused = await client.run_script(PROBE, [keys.probe])
    if refused:
        words = [each.decode() for each in refused]
        raise denied_commands(dict(zip(words[::2], words[1::2], strict=True)), where, prefix)
    taken = await taken_key(client, keys, where)
    if taken is not None:
        raise taken
    await client.run("XREAD", "COUNT", 1, "STREAMS", keys.feed, keys.answers, "$", "$")


async def taken_key(client: RedisClient, keys: RedisKeys, where: str) -> EngineKeyTaken | None:
    """The error for the first key that has another type than the cluster's."""
    for name, key in keys.by_name().items():
        kind = (await client.run("TYPE", key)).decode()
        if kind not in ("none", KINDS[name]):
            return EngineKeyTaken(
                f"{where}: the key {key} is a {kind}, not the {KINDS[name]} that the cluster needs: use another "
                "prefix, or delete it",
                key=key,
            )
    return None


def check_server(info: dict[str, Any], where: str) -> None:
    """Raise `EngineUnusable` if this is no server for a cluster; `info`: its reply to INFO."""
    version = str(info.get("redis_version", "0"))
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdigit())
    if numbers < OLDEST:
        raise EngineUnusable(f"{where} is Redis {version}; a cluster needs Redis 7.0 or newer, or Valkey")
    if info.get("role") == "slave":
        raise EngineUnusable(
            f"{where} is a replica: give its primary, or Sentinels (redis+sentinel://host1,host2/service)"
        )
    if info.get("cluster_enabled"):
        raise EngineUnusable(
            f"{where} is a Redis Cluster, which is not supported: give a single primary, or a Sentinel"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        raise EngineUnusable(
            f"{where} evicts keys when memory is short (maxmemory-policy {policy}), so it could forget a lease: set "
            "maxmemory-policy noeviction"
        )
