"""Unsent texts on disk: for each account at each server, one file for each application that runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from .. import _private_file as private_file
from ..model._composition import Composition
from ..model._outbox import Draft

if sys.platform != "win32":
    import fcntl

_MAX_SLOTS: Final = 64


class UnsentMessages(Struct, frozen=True, omit_defaults=True):
    """Written messages that are not known to be stored."""

    compositions: Mapping[int, Composition] = {}
    """By channel."""
    outbox: tuple[Draft, ...] = ()
    """`since` is Unix time here."""

    def joined(self, other: UnsentMessages) -> UnsentMessages:
        """With what another application left behind; of one channel, ours counts."""
        nonces = {draft.nonce for draft in self.outbox}
        more = (draft for draft in other.outbox if draft.nonce not in nonces)
        return UnsentMessages({**other.compositions, **self.compositions}, (*self.outbox, *more))


class DraftFile:
    """One account's file.

    A lock says which files belong to applications that run: what others left behind when they ended is taken over,
    and two applications of one account don't overwrite each other's texts.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._slot = -1
        self._lock = -1
        self.unsent = UnsentMessages()

    def __repr__(self) -> str:
        return f"<Shelf {self._directory} slot {self._slot}>"

    def open(self) -> None:
        """Take a file for this application, and what others left behind. Raises OSError. Idempotent."""
        if self._directory is None or self._slot >= 0:
            return
        private_file.make_directory(self._directory)
        found: list[tuple[int, int]] = []
        try:
            found.extend(_free_slots(self._directory))
            if not found:
                raise OSError(f"{_MAX_SLOTS} applications of this account are running, which is the limit")
            for slot, _ in found:
                self.unsent = self.unsent.joined(_read(_slot_path(self._directory, slot)))
            private_file.write(_slot_path(self._directory, found[0][0]), msgspec.json.encode(self.unsent))
            self._slot, self._lock = found[0]
            for slot, _ in found[1:]:
                _slot_path(self._directory, slot).unlink(missing_ok=True)
        finally:
            for slot, lock in found:
                if slot != self._slot:
                    os.close(lock)

    def save(self, unsent: UnsentMessages) -> None:
        """Keep this in place of what was kept. Raises OSError."""
        self.unsent = unsent
        self.open()
        if self._directory is not None:
            private_file.write(_slot_path(self._directory, self._slot), msgspec.json.encode(self.unsent), sync=False)

    def close(self) -> None:
        """Leave the file to the next application."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = self._slot = -1


class DraftFiles:
    """The shelves of one application: what can't be written is kept as long as it runs. None: nothing is written."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._files: dict[str, DraftFile] = {}

    def __repr__(self) -> str:
        return f"<Shelves {list(self._files.values())}>"

    def of(self, api_url: str, user_id: int) -> DraftFile:
        """An account's."""
        account = hashlib.sha256(f"{api_url}\n{user_id}".encode()).hexdigest()[:32]
        if account not in self._files:
            self._files[account] = DraftFile(None if self.directory is None else self.directory / account)
        return self._files[account]

    def close(self) -> None:
        """Leave them to the next application."""
        for shelf in self._files.values():
            shelf.close()


def _free_slots(directory: Path) -> Iterator[tuple[int, int]]:
    """Slots that no running application has, each with its lock: the first one, and all others that hold a file."""
    has_one = False
    for slot in range(_MAX_SLOTS):
        if has_one and not _slot_path(directory, slot).exists():
            continue
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        lock = os.open(directory / f"{slot}.lock", flags, 0o600)
        if _try_lock(lock):
            has_one = True
            yield slot, lock
        else:
            os.close(lock)


def _slot_path(directory: Path, slot: int) -> Path:
    return directory / f"{slot}.json"


def _read(place: Path) -> UnsentMessages:
    try:
        with os.fdopen(os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or (hasattr(os, "getuid") and about.st_uid != os.getuid()):
                return UnsentMessages()  # somebody else's: their texts aren't ours
            return msgspec.json.decode(file.read(), type=UnsentMessages)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        with contextlib.suppress(OSError):
            place.replace(place.with_suffix(".broken"))  # for whoever can read it
    except OSError:
        pass
    return UnsentMessages()


def _try_lock(lock: int) -> bool:
    if sys.platform == "win32":  # two applications of one account keep their texts in one file
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
