"""Lists the shared connections of this machine, by asking each owner."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...errors import ForeignUser, IpcError, OnesocketError
from ...lifecycle._states import State
from .._host_options import Own
from ._ipc_frames import (
    Challenge,
    FrameSplitter,
    StatusReport,
    StatusRequest,
    StepDown,
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

    url: str = "?"
    """Without query values and user info; ``?`` if the owner doesn't answer."""
    key: str | None = None
    """The `key=` that names the identity, if one does."""
    pid: int
    """Process id of the owner."""
    release: str
    started: float | None = None
    """Time at which this process became the owner."""
    own: Own | None = None
    """The owner's option."""
    next_owner: int | None = None
    """Process id of the follower to which the owner would hand over; None: no other process may own."""
    cluster: str | None = None
    """Part of this host in a cluster: ``leads`` or ``alone``, ``follows`` and the leader; None: the scope is "host"."""
    followers: int | None = None
    """Number of other processes attached."""
    dropped: int | None = None
    """Messages that were dropped for processes that didn't read."""
    received_per_second: float | None = None
    sent_per_second: float | None = None
    state: State | None = None
    """None: the owner doesn't answer; it's stopped, far too busy, or of another release."""
    epoch: int | None = None
    rtt: float | None = None
    last_error: str | None = None
    last_loss: str | None = None
    """Reason for the last loss of the connection, which may be up again."""
    last_lost_at: float | None = None

    @property
    def answers(self) -> bool:
        """True if the owner answered."""
        return self.state is not None


def listing(directory: str | None = None, *, timeout: float = 1.0) -> list[Listing]:
    """List the shared connections of this user, with `timeout` seconds for each; files of dead owners are left out.

    Blocking. Raises `NoRuntimeDirectory`.
    """
    answers = (query_owner(paths, timeout) for paths in socket_paths(directory))
    return [one for one in answers if one is not None]


def socket_paths(directory: str | None) -> list[RuntimePaths]:
    """The paths of the connections that have a socket. Raises `NoRuntimeDirectory`."""
    return [RuntimePaths(path.parent, path.stem) for path in sorted(runtime_directory(directory).glob("*.sock"))]


def query_owner(paths: RuntimePaths, timeout: float) -> Listing | None:
    """Ask the owner for its status; None: the files are those of a dead owner, or of another user."""
    asked = ask_owner(paths, StatusRequest(), timeout)
    if asked is None:
        return None
    if isinstance(asked.answer, StatusReport):
        return _listing_from(asked.answer, asked.release)
    return Listing(pid=asked.pid, release=asked.release)


@dataclass(slots=True)
class AskedOwner:
    """An owner that was asked a question instead of being attached to."""

    pid: int = 0
    release: str = "?"
    answer: ToFollower | None = None
    """None: it doesn't answer."""


def ask_owner(paths: RuntimePaths, question: StatusRequest | StepDown, timeout: float) -> AskedOwner | None:
    """Ask the owner; None: the files are those of a dead owner, or of another user."""
    asked = AskedOwner()
    try:
        with paths.opened() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            with contextlib.suppress(BlockingIOError):  # its queue is full: it doesn't answer, but it exists
                sock.connect(paths.socket_address(directory))
            try:
                asked.pid = check_peer_user(sock.fileno())
                for frame in _read_frames(sock, time.monotonic() + timeout):
                    if not isinstance(frame, Challenge):
                        asked.answer = frame
                        break
                    asked.release = frame.release[:40]
                    sock.sendall(encode_ipc_frame(question))
            except (OSError, IpcError):
                pass  # it doesn't answer
    except (OSError, ForeignUser):
        return None
    return asked


def _listing_from(report: StatusReport, release: str) -> Listing:
    status = report.status
    return Listing(
        url=status.url,
        key=report.key,
        own=report.own,
        next_owner=report.next_owner,
        cluster=report.cluster,
        pid=report.pid,
        release=release,
        started=report.started,
        followers=report.followers,
        dropped=report.dropped,
        received_per_second=report.received_per_second,
        sent_per_second=report.sent_per_second,
        state=status.state,
        epoch=status.epoch,
        rtt=status.rtt,
        last_error=_error_text(status.last_error),
        last_loss=_error_text(status.last_loss),
        last_lost_at=status.last_lost_at,
    )


def _error_text(error: OnesocketError | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"


def _read_frames(sock: socket.socket, deadline: float) -> Iterator[ToFollower]:
    splitter = FrameSplitter()
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        data = sock.recv(_READ_BYTES)
        if not data:
            return
        yield from map(decode_owner_frame, splitter.feed(data))
