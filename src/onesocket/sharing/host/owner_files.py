"""Files of a connection's owner: its lock, and the socket at which followers find it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterable
from typing import Final

from ...errors import OnesocketError
from ...forking import BARRIER
from .acceptor import Acceptor
from .directory import Place
from .lock import Identity, OwnerLock, Standing, identity_of
from .reserve import Reserve

_log = logging.getLogger("onesocket")
_BACKLOG: Final = 512
_AGAIN: Final = 0.005
"""Seconds until another look, when somebody rang, or a newcomer had our lock in its hand for a moment."""


class OwnerFiles:
    """Put in place by `start`, and again by `keep_up` where somebody removed them; the connection doesn't notice."""

    def __init__(
        self,
        lock: OwnerLock,
        reserve: Reserve,
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
        self._listener: Acceptor | None = None
        self._bell: Acceptor | None = None
        self._bound: tuple[Place, Identity | None] | None = None
        """Place of the listener's socket file, and the identity of that file."""
        self._due: asyncio.TimerHandle | None = None
        self._trouble = ""

    def __repr__(self) -> str:
        return f"<OwnerFiles {self._lock!r} {self._listener!r}>"

    def start(self) -> None:
        """Listen. Raises OSError, or `NoRuntimeDirectory`."""
        self._listen()
        self._answer_the_bell()

    def keep_up(self) -> bool:
        """Make again what is gone; False: another process has taken the connection over.

        What hinders it is logged, once, and tried again the next time: the connection is up all the same.
        """
        try:
            standing = self._lock.restore(self._lock.place.now(again=True))
            if standing is Standing.OURS:
                self._listen()
            elif standing is Standing.BUSY:
                self._look_soon()
            self._lock.claim_sentinel()
            self._answer_the_bell()
        except (OSError, OnesocketError) as error:
            text = str(error)
            if text != self._trouble:
                self._trouble = text
                _log.warning("the files of a shared connection are gone, and can't be made again yet: %s", text)
            return True
        if standing is Standing.OURS:
            self._trouble = ""
        for acceptor in (self._listener, self._bell):
            if acceptor is not None:
                acceptor.resume()
        return standing is not Standing.LOST

    def stop(self) -> None:
        """Accept nobody any more."""
        if self._due is not None:
            self._due.cancel()
        for acceptor in (self._listener, self._bell):
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
        place = self._lock.place
        if self._bound is not None and self._bound[0] == place and self._bound[1] == identity_of(place.socket):
            return
        with BARRIER, place.opened() as directory:
            address = place.socket_address(directory)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                with contextlib.suppress(FileNotFoundError):
                    place.socket.unlink()  # whoever made it is gone: we have the lock
                sock.settimeout(0)
                sock.bind(address)
                os.chmod(place.socket, 0o600)  # noqa: PTH101 - the socket's own path, which may be a long one
                sock.listen(_BACKLOG)
                listener = Acceptor(sock, self._reserve, self._accepted, self._exhausted)
            except BaseException:
                sock.close()
                raise
            before, self._listener = self._listener, listener
        if before is not None:
            before.close()
            if self._bound is not None and self._bound[0] != place:
                self._remove()
        self._bound = place, identity_of(place.socket)

    def _remove(self) -> None:
        if self._bound is not None and identity_of(self._bound[0].socket) == self._bound[1]:
            with contextlib.suppress(OSError):
                self._bound[0].socket.unlink()

    def _answer_the_bell(self) -> None:
        sock = self._lock.bell
        if sock is not None and (self._bell is None or self._bell.descriptor is None):
            self._bell = Acceptor(sock, self._reserve, self._rung, self._rung)

    def _rung(self, sock: socket.socket) -> None:
        sock.close()
        self._look_soon()

    def _look_soon(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_AGAIN, self._is_due)

    def _is_due(self) -> None:
        self._due = None
        self._look()
