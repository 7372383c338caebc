"""Lists the shared connections of this machine, by asking each owner."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...lifecycle._states import State
from ._errors import ForeignUser, WireError
from ._ipc_frames import (
    Challenge,
    FrameSplitter,
    SerializedError,
    StatusReport,
    StatusRequest,
    ToFollower,
    decode_owner_frame,
    encode_ipc_frame,
)
from ._peer_credentials import check_peer_user
from ._runtime_paths import RuntimePaths, runtime_directory

_READ_BYTES: Final = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One shared connection. Times are Unix time in seconds; rates are messages per second."""

    url: str
    """Without query values and user info; ``?`` if the owner doesn't answer."""
    pid: int
    """Of the owner."""
    release: str
    started: float | None
    """Since when this process is the owner."""
    followers: int | None
    """Other processes attached."""
    dropped: int | None
    """Messages that were dropped for processes that didn't read."""
    received_per_second: float | None
    sent_per_second: float | None
    state: State | None
    """None: the owner doesn't answer; it's stopped, far too busy, or of another release."""
    epoch: int | None
    rtt: float | None
    last_error: str | None
    last_loss: str | None
    """Reason for the last loss of the connection, which may be up again."""
    last_lost_at: float | None

    @property
    def answers(self) -> bool:
        """True if the owner answered."""
        return self.state is not None


def listing(directory: str | None = None, *, timeout: float = 1.0) -> list[Listing]:
    """Every shared connection of this user, asked within `timeout` seconds each; leftovers of the dead are left out.

    Blocking. Raises `NoRuntimeDirectory`.
    """
    found: list[Listing] = []
    for path in sorted(runtime_directory(directory).glob("*.sock")):
        one = _query_owner(path, timeout)
        if one is not None:
            found.append(one)
    return found


def _query_owner(path: Path, timeout: float) -> Listing | None:
    place = RuntimePaths(path.parent, path.stem)
    descriptor = place.open_directory()
    pid, release = 0, "?"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            with contextlib.suppress(BlockingIOError):  # its queue is full: it doesn't answer, but it is there
                sock.connect(place.socket_address(descriptor))
            try:
                pid = check_peer_user(sock.fileno())
                end = time.monotonic() + timeout
                frames = _BlockingFrameReader(sock, end)
                challenge = frames.next()
                if isinstance(challenge, Challenge):
                    release = challenge.release[:40]
                    sock.sendall(encode_ipc_frame(StatusRequest()))
                    answer = frames.next()
                    if isinstance(answer, StatusReport):
                        return _listing_from(answer, release)
            except (OSError, WireError):
                pass  # it doesn't answer
    except (OSError, ForeignUser):
        return None  # a leftover, or none of ours
    finally:
        os.close(descriptor)
    return Listing(
        url="?",
        pid=pid,
        release=release,
        started=None,
        followers=None,
        dropped=None,
        received_per_second=None,
        sent_per_second=None,
        state=None,
        epoch=None,
        rtt=None,
        last_error=None,
        last_loss=None,
        last_lost_at=None,
    )


def _listing_from(answer: StatusReport, release: str) -> Listing | None:
    status = answer.status
    if status.state not in State.__members__:
        return None
    return Listing(
        url=status.url,
        pid=answer.pid,
        release=release,
        started=answer.started,
        followers=answer.followers,
        dropped=answer.dropped,
        received_per_second=answer.received_per_second,
        sent_per_second=answer.sent_per_second,
        state=State[status.state],
        epoch=status.epoch,
        rtt=status.rtt,
        last_error=_error_text(status.error),
        last_loss=_error_text(status.last_loss),
        last_lost_at=status.last_lost_at,
    )


def _error_text(failure: SerializedError | None) -> str | None:
    return None if failure is None else f"{failure.kind}: {failure.text}"


class _BlockingFrameReader:
    """The frames of a blocking socket, until a date."""

    def __init__(self, sock: socket.socket, end: float) -> None:
        self._sock = sock
        self._end = end
        self._splitter = FrameSplitter()
        self._bodies: list[bytes] = []

    def next(self) -> ToFollower:
        """The next one. Raises OSError or `WireError`."""
        while not self._bodies:
            left = self._end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._sock.settimeout(left)
            data = self._sock.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError
            self._bodies = self._splitter.feed(data)
        return decode_owner_frame(self._bodies.pop(0))
