"""A sharded bot on several hosts that lead a shard each: the server says how far apart they identify."""

import asyncio
import contextlib
import json
from itertools import pairwise
from pathlib import Path

import pytest

from onesocket_discord.server import ChatServer, GatewayOptions
from onesocket_discord.server.gateway._identify_limiter import IdentifyLimiter, IdentifyVerdict
from tests.support.programs import DEADLINE, running_python

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="Unix only")
PROGRAM = str(Path(__file__).parent / "shard_host.py")
SHARDS = 3
INTERVAL = 0.8
"""Seconds between two Identifies that the server asks for; Discord: 5."""
PERIOD = 1.2
"""Seconds between two of the bot's; else 5.5."""


async def line_of(host: asyncio.subprocess.Process) -> str:
    assert host.stdout is not None
    return (await asyncio.wait_for(host.stdout.readline(), DEADLINE)).decode().strip()


async def test_hosts_that_lead_different_shards_identify_at_a_distance(
    engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, IdentifyVerdict]] = []
    check = IdentifyLimiter.check

    def watch(limiter: IdentifyLimiter, *given: object) -> IdentifyVerdict:
        verdict = check(limiter, *given)  # type: ignore[arg-type]
        seen.append((asyncio.get_running_loop().time(), verdict))
        return verdict

    monkeypatch.setattr(IdentifyLimiter, "check", watch)
    async with (
        ChatServer(options=GatewayOptions(identify_interval=INTERVAL)) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        token = await server.create_bot("robo")
        hosts: list[asyncio.subprocess.Process] = []
        for number in range(SHARDS):
            arguments = [PERIOD, token, server.gateway_url, engine_url, (number, SHARDS), str(tmp_path / str(number))]
            hosts.append(await stack.enter_async_context(running_python(PROGRAM, json.dumps(arguments))))
        assert [await line_of(each) for each in hosts] == ["begun"] * SHARDS
        for each in hosts:  # at once
            assert each.stdin is not None
            each.stdin.write(b"\n")
        assert [await line_of(each) for each in hosts] == ["ready"] * SHARDS
        assert [verdict for _, verdict in seen] == [IdentifyVerdict.GRANTED] * SHARDS
        assert all(after - before >= INTERVAL for (before, _), (after, _) in pairwise(seen))
        assert server.stats.invalid_sessions == 0
        assert server.stats.identifies == SHARDS
