"""A real engine in a process, which is killed, stopped, and started again with its data or without."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import nats
import redis.asyncio

from tests.support import nats_server, redis_server

REDIS: Final = "redis"
NATS: Final = "nats"


class EngineProcess:
    """Listens on every address of the driver, on one port."""

    def __init__(self, kind: str, directory: Path, port: int) -> None:
        self.kind = kind
        self.port = port
        self._directory = directory
        self._data = directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._wait: Callable[[subprocess.Popen[bytes]], object] = (
            redis_server.wait_until_ready if kind == REDIS else nats_server.wait_until_ready
        )

    def __repr__(self) -> str:
        return f"<EngineProcess {self.kind} port={self.port}>"

    def url(self, host: str, port: int) -> str:
        """The address for a member, perhaps through a proxy."""
        return f"{self.kind}://{host}:{port}"

    def _command(self) -> Sequence[str]:
        self._data.mkdir(parents=True, exist_ok=True)
        if self.kind == REDIS:
            # Without fsync: a killed process loses nothing, as the kernel has it.
            kept = ("--appendonly", "yes", "--appendfsync", "no", "--save", "", "--dir", str(self._data))
            open_to_all = ("--bind", "0.0.0.0", "--protected-mode", "no")  # noqa: S104 - in a namespace of its own
            return (redis_server.redis_binary(), "--port", str(self.port), *open_to_all, *kept)
        config = self._directory / "config"
        config.write_text(f'listen: "0.0.0.0:{self.port}"\nstore_dir: "{self._data}"\njetstream: {{}}\n')
        return (nats_server.nats_binary(), "--config", str(config))

    async def start(self) -> None:
        """Start it, with the data that it has, and wait until it accepts connections."""
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        process = subprocess.Popen(  # noqa: S603 - our own
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if self.kind == REDIS else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if self.kind == REDIS else subprocess.PIPE,
        )
        self._process = process
        self._wait(process)

    async def kill(self, *, lose_data: bool = False) -> None:
        """Kill it; `lose_data`: what it has stored goes too."""
        await asyncio.to_thread(self.end)
        if lose_data:
            await asyncio.to_thread(shutil.rmtree, self._data)

    async def set_full(self, *, full: bool) -> None:
        """Have it refuse what needs room, or take it again."""
        await (self._set_redis_full if self.kind == REDIS else self._set_nats_full)(full=full)

    async def _set_redis_full(self, *, full: bool) -> None:
        client = redis.asyncio.Redis(port=self.port)
        try:
            await client.config_set("maxmemory", 1 if full else 0)
        finally:
            await client.aclose()

    async def _set_nats_full(self, *, full: bool) -> None:
        client = await nats.connect(f"nats://127.0.0.1:{self.port}", allow_reconnect=False)
        try:
            for name in (await nats_server.ask(client, "STREAM.NAMES")).get("streams") or ():
                info = await nats_server.ask(client, f"STREAM.INFO.{name}")
                config = {**info["config"], "max_bytes": max(1, info["state"]["bytes"]) if full else -1}
                answer = await nats_server.ask(client, f"STREAM.UPDATE.{name}", **config)
                if "error" in answer:
                    raise RuntimeError(f"the stream {name} was not changed: {answer['error']}")
        finally:
            await client.close()

    def signal(self, number: signal.Signals) -> None:
        """Stop it, or let it go on."""
        if self._process is not None:
            self._process.send_signal(number)

    def end(self) -> None:
        """Kill it, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
