"""Unsent texts on disk: one file per account, server and running application."""

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
        """Add what another application left behind; for a channel of both, this one's text counts."""
        nonces = {draft.nonce for draft in self.outbox}
        more = (draft for draft in other.outbox if draft.nonce not in nonces)
        return UnsentMessages({**other.compositions, **self.compositions}, (*self.outbox, *more))


class DraftFile:
    """One account's file.

    A lock marks the files of running applications: files without one are taken over, and two applications of one
    account don't overwrite each other's texts.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._slot = -1
        self._lock = -1
        self.unsent = UnsentMessages()

    def __repr__(self) -> str:
        return f"<DraftFile {self._directory} slot {self._slot}>"

    def open(self) -> None:
        """Lock a file for this application, and take over those without a lock. Raises OSError. Idempotent."""
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
        """Replace the saved texts. Raises OSError."""
        self.unsent = unsent
        self.open()
        if self._directory is not None:
            private_file.write(_slot_path(self._directory, self._slot), msgspec.json.encode(self.unsent), sync=False)

    def close(self) -> None:
        """Release the file for the next application."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = self._slot = -1


class DraftFiles:
    """The draft files of one application, by account; without a directory, texts are kept in memory."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._files: dict[str, DraftFile] = {}

    def __repr__(self) -> str:
        return f"<DraftFiles {list(self._files.values())}>"

    def of(self, api_url: str, user_id: int) -> DraftFile:
        """The file of an account."""
        account = hashlib.sha256(f"{api_url}\n{user_id}".encode()).hexdigest()[:32]
        if account not in self._files:
            self._files[account] = DraftFile(None if self.directory is None else self.directory / account)
        return self._files[account]

    def close(self) -> None:
        """Release the files for the next application."""
        for file in self._files.values():
            file.close()


def _free_slots(directory: Path) -> Iterator[tuple[int, int]]:
    """Yield slots without a running application, each with its lock: the first one, and all others with a file."""
    has_slot = False
    for slot in range(_MAX_SLOTS):
        if has_slot and not _slot_path(directory, slot).exists():
            continue
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        lock = os.open(directory / f"{slot}.lock", flags, 0o600)
        if _try_lock(lock):
            has_slot = True
            yield slot, lock
        else:
            os.close(lock)


def _slot_path(directory: Path, slot: int) -> Path:
    return directory / f"{slot}.json"


def _read(path: Path) -> UnsentMessages:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or (hasattr(os, "getuid") and about.st_uid != os.getuid()):
                return UnsentMessages()  # another user's file
            return msgspec.json.decode(file.read(), type=UnsentMessages)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(".broken"))  # kept for inspection
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
