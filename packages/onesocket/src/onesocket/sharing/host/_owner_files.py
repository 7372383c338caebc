"""Files of a connection's owner: its lock, and the socket to which followers connect."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import socket
from collections.abc import Callable, Iterable
from typing import Final

from ..._forking import FORK_LOCK
from ...errors import OnesocketError
from ._descriptor_reserve import DescriptorReserve
from ._owner_lock import FileIdentity, LockState, OwnerLock, file_identity
from ._runtime_paths import RuntimePaths
from ._unix_acceptor import UnixAcceptor

_log = logging.getLogger("onesocket")
_BACKLOG: Final = 512
_RECHECK_DELAY: Final = 0.005
"""Seconds until another check, when a process asked for it, or had our lock file open for a moment."""


class OwnerFiles:
    """Makes the files in `start`, and again in `restore_missing` when they were removed; the connection stays up."""

    def __init__(
        self,
        lock: OwnerLock,
        reserve: DescriptorReserve,
        *,
        accepted: Callable[[socket.socket], object],
        exhausted: Callable[[socket.socket], object],
        check: Callable[[], object],
    ) -> None:
        self._lock = lock
        self._reserve = reserve
        self._accepted = accepted
        self._exhausted = exhausted
        self._check = check
        """Called when `restore_missing` is due outside of the heartbeat."""
        self._listener: UnixAcceptor | None = None
        self._notification_acceptor: UnixAcceptor | None = None
        self._bound: tuple[RuntimePaths, FileIdentity | None] | None = None
        """Paths of the listener's socket file, and the identity of that file; None: it was removed at once."""
        self._check_timer: asyncio.TimerHandle | None = None
        self._logged_error = ""

    def __repr__(self) -> str:
        return f"<OwnerFiles {self._lock!r} {self._listener!r}>"

    def start(self) -> None:
        """Listen. Raises OSError or `NoRuntimeDirectory`."""
        self._listen()
        self._accept_notifications()

    def restore_missing(self) -> bool:
        """Make removed files again. Returns False if another process has taken the connection over.

        An error is logged once, and the next call tries again: the connection stays up.
        """
        try:
            lock_state = self._lock.restore(self._lock.paths.ensure(again=True))
            if lock_state is LockState.OURS:
                self._listen()
            elif lock_state is LockState.BUSY:
                self._check_soon()
            self._claim_lower_socket_lock()
            self._accept_notifications()
        except (OSError, OnesocketError) as error:
            text = str(error)
            if text != self._logged_error:
                self._logged_error = text
                _log.warning("the files of a shared connection are gone, and can't be made again yet: %s", text)
            return True
        if lock_state is LockState.LOST:
            return False
        if lock_state is LockState.OURS:
            self._logged_error = ""
        for acceptor in (self._listener, self._notification_acceptor):
            if acceptor is not None:
                acceptor.resume()
        return True

    def stop(self) -> None:
        """Stop listening."""
        if self._check_timer is not None:
            self._check_timer.cancel()
        for acceptor in (self._listener, self._notification_acceptor):
            if acceptor is not None:
                acceptor.close()

    def release(self, *, is_followed: bool) -> None:
        """Remove the socket and release the lock; `is_followed` as for `OwnerLock.release`."""
        self.stop()
        if self._lock.is_ours():
            self._remove()
        self._lock.release(is_followed=is_followed)

    @property
    def is_asked(self) -> bool:
        """True if a process has connected that was not accepted yet; in any thread."""
        poll = select.poll()
        for number in self.descriptors():
            poll.register(number, select.POLLIN)
        return bool(poll.poll(0))

    def descriptors(self) -> Iterable[int]:
        """The listening socket; the lock has the others."""
        if self._listener is not None and self._listener.descriptor is not None:
            yield self._listener.descriptor

    def _listen(self) -> None:
        paths = self._lock.paths
        present = file_identity(paths.socket)
        if present is not None and self._bound == (paths, present):
            return
        with FORK_LOCK, paths.opened() as directory:
            address = paths.socket_address(directory)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                with contextlib.suppress(FileNotFoundError):
                    paths.socket.unlink()  # of an owner that is gone: we have the lock
                sock.settimeout(0)
                sock.bind(address)
                os.chmod(paths.socket, 0o600)  # noqa: PTH101 - the socket's own path, which may be a long one
                sock.listen(_BACKLOG)
                listener = UnixAcceptor(sock, self._reserve, self._accepted, self._exhausted)
            except BaseException:
                sock.close()
                raise
            before, self._listener = self._listener, listener
        if before is not None:
            before.close()
            if self._bound is not None and self._bound[0] != paths:
                self._remove()
        self._bound = paths, file_identity(paths.socket)

    def _remove(self) -> None:
        if self._bound is not None and file_identity(self._bound[0].socket) == self._bound[1]:
            with contextlib.suppress(OSError):
                self._bound[0].socket.unlink()

    def _claim_lower_socket_lock(self) -> None:
        before = self._lock.claim_lower_socket_lock()
        if before is not None:
            if self._notification_acceptor is not None:
                self._notification_acceptor.close()
            before.close()

    def _accept_notifications(self) -> None:
        sock = self._lock.notification_socket
        if sock is not None and (self._notification_acceptor is None or self._notification_acceptor.descriptor is None):
            self._notification_acceptor = UnixAcceptor(sock, self._reserve, self._on_notified, self._on_notified)

    def _on_notified(self, sock: socket.socket) -> None:
        sock.close()
        self._check_soon()

    def _check_soon(self) -> None:
        if self._check_timer is None:
            self._check_timer = asyncio.get_running_loop().call_later(_RECHECK_DELAY, self._on_check_timer)

    def _on_check_timer(self) -> None:
        self._check_timer = None
        self._check()
