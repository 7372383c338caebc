"""One hub for each connection on this machine, and what `onesocket status` learns of it."""

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

from ..lifecycle._states import State
from ..sharing._option_digests import dial_conflict, first_differing_option, option_proofs
from ..sharing.host._runtime_paths import RuntimePaths, runtime_directory
from ._errors import HubRunning

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
    """Held from `take` to `release`, or to the death of the process."""

    def __init__(self, place: RuntimePaths, descriptor: int, key: str, digests: Mapping[str, str]) -> None:
        self._paths = place
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
        """Be the one hub for `key`; raises `HubRunning`, `OptionConflict` or `NoRuntimeDirectory`.

        `digests`: of the options that go into dial and login, for a hub that comes second (`agreement.py`).
        """
        import fcntl  # noqa: PLC0415 - where there is a runtime directory, there is this

        name = hashlib.sha256(b"hub " + key.encode()).hexdigest()[:24]
        place = RuntimePaths(runtime_directory(directory), name)
        descriptor = os.open(_lock_path(place), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, where = _read_record(descriptor)
            os.close(descriptor)
            there = f"process {pid} runs a hub for this connection already, on {where}"
            option = _differing_option(place, key, digests)
            if option is not None:
                raise dial_conflict(there, option) from None
            raise HubRunning(f"{there}: connect to that one, or end it", pid=pid) from None
        except OSError:
            os.close(descriptor)
            raise
        held = cls(place, descriptor, key, digests)
        held.note(listen)
        return held

    def note(self, listen: str) -> None:
        """Write down where we are, for whoever comes second."""
        record = json.dumps({"pid": os.getpid(), "listen": listen}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, record, 0)

    async def report(self, listing: Callable[[], HubListing]) -> None:
        """Answer `onesocket status` from now on."""
        path = _socket_path(self._paths)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # of one who is gone: we have the lock

        async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

        directory = self._paths.open_directory()
        try:
            place = RuntimePaths(self._paths.directory, path.stem)
            self._server = await asyncio.start_unix_server(tell, _socket_address(place, directory))
        finally:
            os.close(directory)

    async def release(self) -> None:
        """Let go. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(OSError):
                _socket_path(self._paths).unlink()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def hubs(directory: str | None = None, *, timeout: float = 1.0) -> list[HubListing]:
    """Every hub of this user on this machine, asked within `timeout` seconds each. Blocking.

    Leftovers of the dead, and hubs that don't answer, are left out. Raises `NoRuntimeDirectory`.
    """
    found: list[HubListing] = []
    for path in sorted(runtime_directory(directory).glob("*.hub")):
        one = _query_hub(RuntimePaths(path.parent, path.stem), timeout)
        if one is not None:
            found.append(one)
    return found


def _differing_option(place: RuntimePaths, key: str, digests: Mapping[str, str]) -> str | None:
    """The first option that the hub which is there has another value for; None: there is none, or it doesn't answer."""
    answer = _query_status(place, 1.0)
    try:
        nonce = bytes.fromhex(answer["nonce"])
        theirs = {option: bytes.fromhex(proof) for option, proof in answer["options"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # it still starts, or is of another release
    return first_differing_option(option_proofs(digests, key.encode(), nonce), theirs) if theirs else None


def _query_hub(place: RuntimePaths, timeout: float) -> HubListing | None:
    fields = _query_status(place, timeout)
    for name in ("nonce", "options"):
        fields.pop(name, None)
    try:
        state = State[fields.pop("state")]
        return HubListing(**fields, state=state)
    except (KeyError, TypeError):
        return None  # a leftover, or of another release


def _query_status(place: RuntimePaths, timeout: float) -> dict[str, Any]:
    """All that a hub says of itself; empty: nothing."""
    end = time.monotonic() + timeout
    answer = b""
    directory = place.open_directory()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(_socket_address(place, directory))
            while len(answer) < _MAX_ANSWER_BYTES:
                sock.settimeout(max(end - time.monotonic(), 0.001))
                data = sock.recv(_READ_BYTES)
                if not data:
                    break
                answer += data
        said: object = json.loads(answer)
        return cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    except (OSError, ValueError):
        return {}
    finally:
        os.close(directory)


def _lock_path(place: RuntimePaths) -> Path:
    return place.directory / f"{place.name}.hub-lock"


def _socket_path(place: RuntimePaths) -> Path:
    return place.directory / f"{place.name}.hub"


def _socket_address(place: RuntimePaths, directory: int) -> str:
    # The place's own rule for long paths, with our ending: `.hub` is shorter than its `.sock`.
    return place.socket_address(directory).removesuffix(place.socket.suffix) + ".hub"


def _read_record(descriptor: int) -> tuple[int, str]:
    try:
        record = json.loads(os.pread(descriptor, _RECORD_BYTES, 0))
        return int(record["pid"]), str(record["listen"])
    except (ValueError, KeyError, TypeError):
        return 0, "an address that it has not told yet"
