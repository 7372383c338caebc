"""Announcements of a member to observers: who it is, its part, and as the leader the state of the connection."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Hashable
from typing import Final

import msgspec

from ..._task_end import leave_alone
from ...errors import OnesocketError
from ._coordinator import Coordinator, Position
from ._retrying import Adopt, end_tasks, start_task
from ._textless_error import textless

_log: Final = logging.getLogger("onesocket")
_PER_LEASE: Final = 3
"""Announcements in the time of a lease, ..."""
_MOST_PER_LEASE: Final = 30
"""... and at most, while there are changes."""
_WITHDRAW_TIMEOUT: Final = 0.5
_MOST_BYTES: Final = 2048
_NAME_LENGTH: Final = 64


class AnnouncedConnection(msgspec.Struct, frozen=True, omit_defaults=True):
    """The connection upstream, as the leader tells it."""

    state: str
    epoch: int
    error: str | None = None
    """Name of the error for which it is not up."""


class Announcement(msgspec.Struct, frozen=True, omit_defaults=True):
    """Description of a member by itself. It has no URL, no token, and no text of an error."""

    host: str
    pid: int
    part: str
    error: str | None = None
    """Name of the error that keeps it out."""
    connection: AnnouncedConnection | None = None
    lease: float | None = None
    """Seconds for which an announcement stands."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Announcement).decode


def announcement(
    part: str, error: OnesocketError | None = None, connection: AnnouncedConnection | None = None
) -> Announcement:
    """The announcement of this process."""
    host = socket.gethostname()[:_NAME_LENGTH]
    return Announcement(host, os.getpid(), part, None if error is None else type(error).__name__, connection)


def parse_announcement(note: bytes) -> Announcement | None:
    """The announcement in a note; None: another release, or another program wrote it."""
    try:
        return _decode(note) if len(note) <= _MOST_BYTES else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class Announcer:
    """Announces this member three times in the time of a lease, and when it changes.

    A member that is killed is forgotten after that time; one that leaves withdraws its announcement.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        describe: Callable[[], tuple[Announcement, Position]],
        ttl: float,
        *,
        adopt: Adopt = leave_alone,
    ) -> None:
        """`describe`: the announcement, and the position up to which this member has read; `ttl`: of leases, s."""
        self._coordinator = coordinator
        self._describe = describe
        self._ttl = ttl
        self._adopt = adopt
        self._changed = asyncio.Event()
        self._known: Hashable = None
        self._is_announced = False
        """True if the engine holds the last announcement, as far as is known."""
        self._failed_with: type[Exception] | None = None
        """The unexpected exception that was logged."""
        self._running: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Announcer {self._coordinator.member}{' announced' if self._is_announced else ''}>"

    def begin(self) -> None:
        """Announce this member from now on."""
        if self._running is None:
            self._running = start_task(self._run(), self._adopt, "onesocket cluster announcements")

    def note(self, what: Hashable) -> None:
        """Announce at once if this is not what was noted before."""
        if what != self._known:
            self._known = what
            self._changed.set()

    async def aclose(self) -> None:
        """Withdraw the announcement."""
        running, self._running = self._running, None
        if running is None:
            return
        await end_tasks(running)
        if self._is_announced:
            try:
                async with asyncio.timeout(min(_WITHDRAW_TIMEOUT, self._ttl)):
                    await self._coordinator.announce(b"", Position(0, 0), self._ttl)
            except (OnesocketError, TimeoutError):
                pass  # it ends by itself

    async def _run(self) -> None:
        pause = self._ttl / _MOST_PER_LEASE
        while True:
            self._changed.clear()
            try:
                told, feed = self._describe()
                note = _encode(msgspec.structs.replace(told, lease=self._ttl))
                await self._coordinator.announce(note, feed, self._ttl)
                self._is_announced = True
            except Exception as error:  # noqa: BLE001 - no memory, or a bug: the next one is due soon, too
                self._is_announced = False  # a lease and a feed don't depend on it
                if not isinstance(error, OnesocketError) and type(error) is not self._failed_with:
                    self._failed_with = type(error)
                    _log.error("announcing a member of the cluster failed", exc_info=textless(error))
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(self._ttl / _PER_LEASE - pause):
                    await self._changed.wait()
            except TimeoutError:
                pass
