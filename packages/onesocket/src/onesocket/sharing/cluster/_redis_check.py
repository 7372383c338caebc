"""Finds out whether a Redis or Valkey server can serve a cluster, and says what an operator has to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...errors import EngineKeyTaken, EngineUnusable
from ._redis_client import RedisClient
from ._redis_errors import refused_commands
from ._redis_records import RedisKeys
from ._redis_scripts import PROBE, RedisScript

OLDEST: Final = (7, 0)


async def check(client: RedisClient, keys: RedisKeys, where: str, prefix: str) -> None:
    """As `Coordinator.check`: raises the first fault."""
    await check_rights(client, PROBE, keys.probe, where, prefix)
    taken = await taken_key(client, keys.kinds(), where)
    if taken is not None:
        raise taken
    await client.run("XREAD", "COUNT", 1, "STREAMS", keys.feed, keys.answers, "$", "$")


async def check_rights(client: RedisClient, probe: RedisScript, key: str, where: str, prefix: str) -> None:
    """Raise the first fault of a server, or of what its access rules allow; `probe` tries the commands on `key`."""
    info: dict[str, Any] = await client.run("INFO")
    check_server(info, where)
    # In full, also if the server has the script: it may forget it at any time.
    refused = await client.run("EVAL", probe.text, 1, key)
    if refused:
        words = [each.decode() for each in refused]
        raise refused_commands(dict(zip(words[::2], words[1::2], strict=True)), where, prefix)


async def taken_key(
    client: RedisClient, kinds: Mapping[str, str], where: str, remedy: str = "use another prefix, or delete it"
) -> EngineKeyTaken | None:
    """The error for the first key that has another type than the cluster's; `kinds`: the types, by key."""
    for key, needed in kinds.items():
        kind = (await client.run("TYPE", key)).decode()
        if kind not in ("none", needed):
            text = f"{where}: the key {key} is a {kind}, not the {needed} that the cluster needs: {remedy}"
            return EngineKeyTaken(text, key=key)
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
            f"{where} evicts keys when memory is short (maxmemory-policy {policy}), so it could forget leases and "
            "events: set maxmemory-policy noeviction"
        )
