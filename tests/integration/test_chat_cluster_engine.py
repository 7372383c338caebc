"""Typed errors where a Valkey server can't serve the chat's servers: what its access rules deny, and foreign keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onesocket.errors import EngineCommandDenied, EngineKeyTaken, EngineUnavailable, EngineUnusable, OnesocketError
from onesocket.sharing.cluster._redis_address import RedisAddress
from onesocket.sharing.cluster._redis_client import RedisClient
from onesocket_discord.server.cluster import _bot_identifies, _cluster_node, _event_stream, _redis_scripts
from onesocket_discord.server.cluster._engine_check import check_engine
from onesocket_discord.server.cluster._event_stream import ClusterKeys
from tests.support.redis_server import RedisServer, redis_server

DOCUMENT = Path(__file__).parents[2] / "docs" / "chat-server.md"
RULES = re.findall("ACL SETUSER chat on >PASSWORD (.*)", DOCUMENT.read_text("utf-8"))[0].split()
COMMANDS = [rule[1:] for rule in RULES if rule.startswith("+")]
KEYS = ClusterKeys("onesocket-chat:1:")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def raw(server: RedisServer) -> Iterator[Any]:
    with server.client() as client:
        yield client
        client.flushall()
        client.config_set("min-replicas-to-write", "0")
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", "noeviction")


async def check(server: RedisServer, login: str = "") -> None:
    client = RedisClient(RedisAddress.of(f"unix://{login}{server.path}"), "onesocket-chat", 5.0)
    try:
        await check_engine(client, KEYS, "redis:", "onesocket-chat")
    finally:
        await client.aclose()


async def error_of_check(server: RedisServer, kind: type[OnesocketError], login: str = "") -> Any:
    with pytest.raises(kind) as caught:
        await check(server, login)
    assert type(caught.value) is kind
    return caught.value


def test_the_documented_user_may_run_every_command_of_the_servers() -> None:
    used: set[str] = set()
    for module in (_bot_identifies, _cluster_node, _event_stream, _redis_scripts):
        assert module.__file__ is not None
        text = Path(module.__file__).read_text("utf-8")
        used |= set(re.findall(r"""(?:redis\.call\('|\.run\(\s*")([A-Z]+)""", text))
    assert {"XREAD", "SMEMBERS", "ZREMRANGEBYSCORE", "INCR"} <= used
    assert {each.lower() for each in used} | {"info", "type", "eval", "evalsha"} == set(COMMANDS)


async def test_each_command_that_access_rules_deny_is_named(server: RedisServer, raw: Any) -> None:
    raw.execute_command("ACL", "SETUSER", "chat", "on", ">x", *RULES)
    await check(server, "chat:x@")
    assert raw.keys() == []
    for command in COMMANDS:
        raw.execute_command("ACL", "SETUSER", "chat", f"-{command}")
        if command != "evalsha":  # which every other script needs
            error = await error_of_check(server, EngineCommandDenied, "chat:x@")
            assert (error.command, f"add +{command}" in str(error)) == (command, True)
        raw.execute_command("ACL", "SETUSER", "chat", f"+{command}")
    raw.execute_command("ACL", "SETUSER", "chat", "resetkeys", "~onesocket:*")
    assert "add ~onesocket-chat:*" in str(await error_of_check(server, EngineCommandDenied, "chat:x@"))


@pytest.mark.parametrize("key", KEYS.kinds())
async def test_a_key_of_another_type_is_named_and_left_alone(key: str, server: RedisServer, raw: Any) -> None:
    raw.lpush(key, "precious")
    error = await error_of_check(server, EngineKeyTaken)
    assert error.key == key
    assert "another database" in str(error)
    assert raw.lrange(key, 0, -1) == [b"precious"]


async def test_a_server_that_evicts_keys_or_waits_for_its_replicas_is_told_apart(server: RedisServer, raw: Any) -> None:
    raw.config_set("min-replicas-to-write", "1")
    await error_of_check(server, EngineUnavailable)
    raw.config_set("min-replicas-to-write", "0")
    raw.config_set("maxmemory", "100mb")
    raw.config_set("maxmemory-policy", "allkeys-lru")
    assert "set maxmemory-policy noeviction" in str(await error_of_check(server, EngineUnusable))
