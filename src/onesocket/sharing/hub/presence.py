"""One hub for each connection on this machine, and what `onesocket status` learns of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ...lifecycle.states import State
from ..host.directory import Place, runtime_directory
from .errors import HubRunning

_READ: Final = 1 << 16
_MOST: Final = 1 << 18
_RECORD: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class HubListing:
    """One hub of this machine. Times are Unix time in seconds; rates are messages per second."""

    url: str
    """Of the upstream, without query values and user info."""
    pid: int
    release: str
    listen: str
    kind: str
    """``raw`` or ``discord``."""
    started: float
    clients: int
    state: State
    epoch: int
    received_per_second: float
    sent_per_second: float
    cut_off: int
    rtt: float | None
    last_error: str | None


class HubPlace:
    """Held from `take` to `release`, or to the death of the process."""

    def __init__(self, place: Place, descriptor: int) -> None:
        self._place = place
        self._descriptor = descriptor
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<HubPlace {self._place.name}>"

    @classmethod
    def take(cls, key: str, directory: str | None, listen: str) -> HubPlace:
        """Be the one hub for `key`; raises `HubRunning` or `NoRuntimeDirectory`."""
        import fcntl  # noqa: PLC0415 - where there is a runtime directory, there is this

        name = hashlib.sha256(b"hub " + key.encode()).hexdigest()[:24]
        place = Place(runtime_directory(directory), name)
        descriptor = os.open(_lock(place), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, where = _holder(descriptor)
            os.close(descriptor)
            raise HubRunning(
                f"process {pid} runs a hub for this connection already, on {where}: connect to that one, or end it",
                pid=pid,
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        held = cls(place, descriptor)
        held.note(listen)
        return held

    def note(self, listen: str) -> None:
        """Write down where we are, for whoever comes second."""
        record = json.dumps({"pid": os.getpid(), "listen": listen}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, record, 0)

    async def report(self, listing: Callable[[], HubListing]) -> None:
        """Answer `onesocket status` from now on."""
        path = _socket(self._place)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # of one who is gone: we have the lock

        async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answer = asdict(listing())
            answer["state"] = answer["state"].name
            writer.write(json.dumps(answer).encode())
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

        directory = self._place.open_directory()
        try:
            place = Place(self._place.directory, path.stem)
            self._server = await asyncio.start_unix_server(tell, _address(place, directory))
        finally:
            os.close(directory)

    async def release(self) -> None:
        """Let go. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(OSError):
                _socket(self._place).unlink()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def hubs(directory: str | None = None, *, timeout: float = 1.0) -> list[HubListing]:
    """Every hub of this user on this machine, asked within `timeout` seconds each. Blocking.

    Leftovers of the dead, and hubs that don't answer, are left out. Raises `NoRuntimeDirectory`.
    """
    found: list[HubListing] = []
    for path in sorted(runtime_directory(directory).glob("*.hub")):
        one = _ask(Place(path.parent, path.stem), timeout)
        if one is not None:
            found.append(one)
    return found


def _ask(place: Place, timeout: float) -> HubListing | None:
    end = time.monotonic() + timeout
    answer = b""
    directory = place.open_directory()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(_address(place, directory))
            while len(answer) < _MOST:
                sock.settimeout(max(end - time.monotonic(), 0.001))
                data = sock.recv(_READ)
                if not data:
                    break
                answer += data
        fields: dict[str, Any] = json.loads(answer)
        state = State[fields.pop("state")]
        return HubListing(**fields, state=state)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a leftover, or of another release
    finally:
        os.close(directory)


def _lock(place: Place) -> Path:
    return place.directory / f"{place.name}.hub-lock"


def _socket(place: Place) -> Path:
    return place.directory / f"{place.name}.hub"


def _address(place: Place, directory: int) -> str:
    # The place's own rule for long paths, with our ending: `.hub` is shorter than its `.sock`.
    return place.socket_address(directory).removesuffix(place.socket.suffix) + ".hub"


def _holder(descriptor: int) -> tuple[int, str]:
    try:
        record = json.loads(os.pread(descriptor, _RECORD, 0))
        return int(record["pid"]), str(record["listen"])
    except (ValueError, KeyError, TypeError):
        return 0, "an address that it has not told yet"
