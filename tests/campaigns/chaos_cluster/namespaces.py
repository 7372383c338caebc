"""Network namespaces without a name: each lives as long as a descriptor of it, so nothing is left behind."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.campaigns.harness.socket_census import ClientSockets, list_client_sockets, open_socket_diagnosis

_CLONE_NEWNET: Final = 0x40000000


def unshare_network() -> None:
    """Give the calling thread, and what it starts, an empty network namespace. Raises OSError (not permitted)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"no network namespace: {os.strerror(ctypes.get_errno())}")


def run_ip(commands: Sequence[str], enter: Sequence[str] = ()) -> None:
    """Run commands of ``ip``, by default in the namespace of this process. Raises `CalledProcessError`."""
    text = "".join(f"{command}\n" for command in commands)
    command = [*enter, "ip", "-batch", "-"]
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)  # noqa: S603 - our own


class Namespace:
    """An empty network namespace, with loopback up."""

    def __init__(self) -> None:
        self._fd = -1
        self._diagnosis: socket.socket | None = None
        self._lock = threading.Lock()
        with ThreadPoolExecutor(1) as thread:  # it alone moves there
            thread.submit(self._make).result()
        run_ip(["link set lo up"], self.enter)

    def _make(self) -> None:
        unshare_network()
        self._fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._diagnosis = open_socket_diagnosis()

    def __repr__(self) -> str:
        return f"<Namespace {self.path}>"

    @property
    def path(self) -> str:
        """Names it, for other processes too."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @property
    def enter(self) -> Sequence[str]:
        """The words before a command that is to run in it."""
        return ("nsenter", f"--net={self.path}")

    def list_sockets(self, port: int) -> ClientSockets:
        """The sockets in it that are connected, or are being connected, to this port; none once it is closed."""
        with self._lock:
            return {} if self._diagnosis is None else list_client_sockets(port, self._diagnosis)

    def close(self) -> None:
        """Let go of it; it ends with its last process."""
        with self._lock:
            diagnosis, self._diagnosis = self._diagnosis, None
        if diagnosis is not None:
            diagnosis.close()
            os.close(self._fd)
