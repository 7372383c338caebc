"""Files of a connection's owner: its lock, and the socket at which followers find it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
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
"""Seconds until another look, when somebody rang, or a newcomer had our lock in its hand for a moment."""


class OwnerFiles:
    """Put in place by `start`, and again by `keep_up` where somebody removed them; the connection doesn't notice."""

    def __init__(
        self,
        lock: OwnerLock,
        reserve: DescriptorReserve,
        *,
        accepted: Callable[[socket.socket], object],
        exhausted: Callable[[socket.socket], object],
        look: Callable[[], object],
    ) -> None:
        self._lock = lock
        self._reserve = reserve
        self._accepted = accepted
        self._exhausted = exhausted
        self._look = look
        """Called when it is time for `keep_up`, beside the regular ones."""
        self._listener: UnixAcceptor | None = None
        self._notification_acceptor: UnixAcceptor | None = None
        self._bound: tuple[RuntimePaths, FileIdentity | None] | None = None
        """Place of the listener's socket file, and the identity of that file."""
        self._due: asyncio.TimerHandle | None = None
        self._trouble = ""

    def __repr__(self) -> str:
        return f"<OwnerFiles {self._lock!r} {self._listener!r}>"

    def start(self) -> None:
        """Listen. Raises OSError, or `NoRuntimeDirectory`."""
        self._listen()
        self._accept_notifications()

    def restore_missing(self) -> bool:
        """Make again what is gone; False: another process has taken the connection over.

        What hinders it is logged, once, and tried again the next time: the connection is up all the same.
        """
        try:
            standing = self._lock.restore(self._lock.paths.ensure(again=True))
            if standing is LockState.OURS:
                self._listen()
            elif standing is LockState.BUSY:
                self._check_soon()
            self._lock.claim_socket_lock()
            self._accept_notifications()
        except (OSError, OnesocketError) as error:
            text = str(error)
            if text != self._trouble:
                self._trouble = text
                _log.warning("the files of a shared connection are gone, and can't be made again yet: %s", text)
            return True
        if standing is LockState.OURS:
            self._trouble = ""
        for acceptor in (self._listener, self._notification_acceptor):
            if acceptor is not None:
                acceptor.resume()
        return standing is not LockState.LOST

    def stop(self) -> None:
        """Accept nobody any more."""
        if self._due is not None:
            self._due.cancel()
        for acceptor in (self._listener, self._notification_acceptor):
            if acceptor is not None:
                acceptor.close()

    def release(self, epoch: int) -> None:
        """Let go in order; `epoch` as for `OwnerLock.release`."""
        self.stop()
        if self._lock.is_ours():
            self._remove()
        self._lock.release(epoch)

    def descriptors(self) -> Iterable[int]:
        """The listening socket; the lock has the others."""
        if self._listener is not None and self._listener.descriptor is not None:
            yield self._listener.descriptor

    def _listen(self) -> None:
        place = self._lock.paths
        if self._bound is not None and self._bound[0] == place and self._bound[1] == file_identity(place.socket):
            return
        with FORK_LOCK, place.opened() as directory:
            address = place.socket_address(directory)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                with contextlib.suppress(FileNotFoundError):
                    place.socket.unlink()  # whoever made it is gone: we have the lock
                sock.settimeout(0)
                sock.bind(address)
                os.chmod(place.socket, 0o600)  # noqa: PTH101 - the socket's own path, which may be a long one
                sock.listen(_BACKLOG)
                listener = UnixAcceptor(sock, self._reserve, self._accepted, self._exhausted)
            except BaseException:
                sock.close()
                raise
            before, self._listener = self._listener, listener
        if before is not None:
            before.close()
            if self._bound is not None and self._bound[0] != place:
                self._remove()
        self._bound = place, file_identity(place.socket)

    def _remove(self) -> None:
        if self._bound is not None and file_identity(self._bound[0].socket) == self._bound[1]:
            with contextlib.suppress(OSError):
                self._bound[0].socket.unlink()

    def _accept_notifications(self) -> None:
        sock = self._lock.notification_socket
        if sock is not None and (self._notification_acceptor is None or self._notification_acceptor.descriptor is None):
            self._notification_acceptor = UnixAcceptor(sock, self._reserve, self._on_notified, self._on_notified)

    def _on_notified(self, sock: socket.socket) -> None:
        sock.close()
        self._check_soon()

    def _check_soon(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_RECHECK_DELAY, self._is_due)

    def _is_due(self) -> None:
        self._due = None
        self._look()
