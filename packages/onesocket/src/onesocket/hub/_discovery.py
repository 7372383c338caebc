"""The lock that allows one hub per connection on this machine, and the hub's answer to `onesocket status`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from ..errors import HubRunning
from ..lifecycle._states import State
from ..sharing._option_digests import dial_conflict, first_differing_option, option_proofs
from ..sharing.host._runtime_paths import RuntimePaths, runtime_directory

_READ_BYTES: Final = 1 << 16
_MAX_ANSWER_BYTES: Final = 1 << 18
_RECORD_BYTES: Final = 4096
_NO_DIGESTS: Final[Mapping[str, str]] = MappingProxyType({})


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
    last_loss: str | None = None
    last_lost_at: float | None = None


class HubRegistration:
    """A lock held from `register` to `release`, or to the end of the process."""

    def __init__(self, paths: RuntimePaths, descriptor: int, key: str, digests: Mapping[str, str]) -> None:
        self._paths = paths
        self._key = key
        self._digests = digests
        self._descriptor = descriptor
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<HubRegistration {self._paths.name}>"

    @classmethod
    def register(
        cls, key: str, directory: str | None, listen: str, digests: Mapping[str, str] = _NO_DIGESTS
    ) -> HubRegistration:
        """Become the one hub for `key`. Raises `HubRunning`, `OptionConflict` or `NoRuntimeDirectory`.

        `digests`: of the options for dial and login; the error of a second hub names the option that differs.
        """
        import fcntl  # noqa: PLC0415 - where there is a runtime directory, there is this

        name = hashlib.sha256(b"hub " + key.encode()).hexdigest()[:24]
        paths = RuntimePaths(runtime_directory(directory), name)
        descriptor = os.open(_lock_path(paths), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, where = _read_record(descriptor)
            os.close(descriptor)
            there = f"process {pid} runs a hub for this connection already, on {where}"
            option = _differing_option(paths, key, digests)
            if option is not None:
                raise dial_conflict(there, option) from None
            raise HubRunning(f"{there}: connect to that one, or end it", pid=pid) from None
        except OSError:
            os.close(descriptor)
            raise
        held = cls(paths, descriptor, key, digests)
        held.note(listen)
        return held

    def note(self, listen: str) -> None:
        """Write this process and its address into the lock file, for a second hub's error."""
        record = json.dumps({"pid": os.getpid(), "listen": listen}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, record, 0)

    async def report(self, listing: Callable[[], HubListing]) -> None:
        """Start to answer `onesocket status`."""
        path = _socket_path(self._paths)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # left by a process that has ended: this one has the lock

        async def answer_query(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answer = asdict(listing())
            answer["state"] = answer["state"].name
            nonce = secrets.token_bytes(16)
            proofs = option_proofs(self._digests, self._key.encode(), nonce)
            answer["nonce"] = nonce.hex()
            answer["options"] = {option: proof.hex() for option, proof in proofs.items()}
            writer.write(json.dumps(answer).encode())
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

        with self._paths.opened() as directory:
            self._server = await asyncio.start_unix_server(answer_query, _socket_address(self._paths, directory))

    async def release(self) -> None:
        """Release the lock. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(OSError):
                _socket_path(self._paths).unlink()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def hubs(directory: str | None = None, *, timeout: float = 1.0) -> list[HubListing]:
    """List this user's hubs on this machine, each asked with `timeout` seconds. Blocking.

    Hubs that don't answer are left out. Raises `NoRuntimeDirectory`.
    """
    found: list[HubListing] = []
    for path in sorted(runtime_directory(directory).glob("*.hub")):
        one = _query_hub(RuntimePaths(path.parent, path.stem), timeout)
        if one is not None:
            found.append(one)
    return found


def _differing_option(paths: RuntimePaths, key: str, digests: Mapping[str, str]) -> str | None:
    """The first option whose value differs from the running hub's; None without one, or without an answer."""
    answer = _query_status(paths, 1.0)
    try:
        nonce = bytes.fromhex(answer["nonce"])
        theirs = {option: bytes.fromhex(proof) for option, proof in answer["options"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # it is starting, or of another release
    return first_differing_option(option_proofs(digests, key.encode(), nonce), theirs) if theirs else None


def _query_hub(paths: RuntimePaths, timeout: float) -> HubListing | None:
    fields = _query_status(paths, timeout)
    for name in ("nonce", "options"):
        fields.pop(name, None)
    try:
        state = State[fields.pop("state")]
        return HubListing(**fields, state=state)
    except (KeyError, TypeError):
        return None  # it has ended, or is of another release


def _query_status(paths: RuntimePaths, timeout: float) -> dict[str, Any]:
    """The answer of a hub; empty without one."""
    end = time.monotonic() + timeout
    answer = b""
    try:
        with paths.opened() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(_socket_address(paths, directory))
            while len(answer) < _MAX_ANSWER_BYTES:
                sock.settimeout(max(end - time.monotonic(), 0.001))
                data = sock.recv(_READ_BYTES)
                if not data:
                    break
                answer += data
        decoded: object = json.loads(answer)
        return cast("dict[str, Any]", decoded) if isinstance(decoded, dict) else {}
    except (OSError, ValueError):
        return {}


def _lock_path(paths: RuntimePaths) -> Path:
    return paths.directory / f"{paths.name}.hub-lock"


def _socket_path(paths: RuntimePaths) -> Path:
    return paths.directory / f"{paths.name}.hub"


def _socket_address(paths: RuntimePaths, directory: int) -> str:
    # The same rule for long paths as the host's socket; the suffix `.hub` is shorter than `.sock`.
    return paths.socket_address(directory).removesuffix(paths.socket.suffix) + ".hub"


def _read_record(descriptor: int) -> tuple[int, str]:
    try:
        record = json.loads(os.pread(descriptor, _RECORD_BYTES, 0))
        return int(record["pid"]), str(record["listen"])
    except (ValueError, KeyError, TypeError):
        return 0, "an address that it has not written yet"
