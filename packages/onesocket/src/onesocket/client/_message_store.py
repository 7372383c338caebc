"""The file of a `DurableOutbox`: an SQLite database that one connection has for itself. Every call blocks."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import MessageNotStored, OutboxInUse, OutboxUnusable
from ..lifecycle._stored_queue import MessageId
from ..wire._handshake import Data

SCHEMA_VERSION: Final = 1
_APPLICATION_ID: Final = 0x6F6E6573
_SCHEMA: Final = """
CREATE TABLE messages (
    number INTEGER PRIMARY KEY,
    message_id,
    data NOT NULL,
    stored_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    may_have_arrived INTEGER NOT NULL
)
"""
_ROW_TYPES: Final = ((int,), (int, str, type(None)), (str, bytes), (float,), (float,), (int,))
_MAX_NUMBER: Final = 2**62
_IN_USE: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


class StoredRow(NamedTuple):
    """One row of the table."""

    number: int
    message_id: MessageId | None
    data: Data
    stored_at: float
    """In seconds since 1970, as is `expires_at`."""
    expires_at: float
    may_have_arrived: bool


@dataclass(frozen=True, slots=True)
class Insert:
    """Add a message."""

    row: StoredRow


@dataclass(frozen=True, slots=True)
class Mark:
    """Note that the messages up to this number may have arrived."""

    number: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a message, if it is there."""

    number: int


Operation = Insert | Mark | Delete


class MessageStore:
    """The open file. Every error names its path and the remedy."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises `OutboxUnusable`, or `OutboxInUse`."""
        path = Path(os.path.realpath(path))  # beside that one SQLite keeps its second file
        self.path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self.rows: list[StoredRow] = []
        """The messages that were in the file."""
        try:
            _make_private(path)
            _check_pair(path, self._wal)
            # In this mode SQLite locks the file for as long as it is open, and needs no third file for shared memory.
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path, error) from error
        try:
            self._begin()
            self._files = self._identify()
        except (OSError, sqlite3.Error) as error:
            self._database.close()
            raise _unusable(path, error) from error
        except BaseException:
            self._database.close()
            raise

    def _begin(self) -> None:
        execute = self._database.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        version = _number(execute("PRAGMA user_version"))
        application = _number(execute("PRAGMA application_id"))
        is_empty = not _number(execute("SELECT count(*) FROM sqlite_schema"))
        if not (is_empty and application == version == 0) and application != _APPLICATION_ID:
            raise OutboxUnusable(
                f"the file {self.path} is a database of another program: give outbox=DurableOutbox(...) another path"
            )
        if version > SCHEMA_VERSION:
            raise OutboxUnusable(
                f"the outbox {self.path} was written by a newer release of onesocket (schema {version}; this one knows "
                f"{SCHEMA_VERSION}): install that release, or give outbox=DurableOutbox(...) another path"
            )
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")  # a commit returns when the disk has it
        execute("BEGIN IMMEDIATE")
        if is_empty:
            execute(_SCHEMA)
            execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        else:
            # A write, so that a file that can't be written is found now.
            execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._check()
        execute("COMMIT")
        self.rows = [self._read(row) for row in execute("SELECT * FROM messages ORDER BY number").fetchall()]
        ids = [row.message_id for row in self.rows if row.message_id is not None]
        if len(set(ids)) < len(ids):
            raise _damaged(self.path, "two messages have one id")

    def _read(self, row: tuple[Any, ...]) -> StoredRow:
        """Check a row: SQLite takes any type in any column."""
        kinds = tuple(map(type, row))
        if len(kinds) != len(_ROW_TYPES) or any(
            kind not in known for kind, known in zip(kinds, _ROW_TYPES, strict=True)
        ):
            raise _damaged(self.path, f"a message is stored as {', '.join(kind.__name__ for kind in kinds)}")
        if not 0 < row[0] < _MAX_NUMBER:
            raise _damaged(self.path, f"a message has the number {row[0]}")
        return StoredRow(*row)._replace(may_have_arrived=bool(row[-1]))

    def _check(self) -> None:
        damage = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise _damaged(self.path, damage)

    def apply(self, operations: Iterable[Operation]) -> None:
        """Perform all of these, or none, and return when the disk has them. Raises `MessageNotStored`."""
        try:
            self._check_files()
            self._database.execute("BEGIN IMMEDIATE")
            for operation in operations:
                self._perform(operation)
            self._database.execute("COMMIT")
        except Exception as error:  # whatever it is, each message gets an answer
            with contextlib.suppress(sqlite3.Error):
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
            raise MessageNotStored(f"the outbox {self.path} can't be written: {_remedy(error)}") from error

    def _perform(self, operation: Operation) -> None:
        match operation:
            case Insert(row):
                self._database.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", row)
            case Mark(number):
                self._database.execute("UPDATE messages SET may_have_arrived = 1 WHERE number <= ?", (number,))
            case Delete(number):
                self._database.execute("DELETE FROM messages WHERE number = ?", (number,))

    def close(self) -> None:
        """Close the file; another client may open it."""
        self._database.close()

    def _check_files(self) -> None:
        try:
            found = self._identify()
        except FileNotFoundError:
            found = []
        if found != self._files:
            raise FileNotFoundError("it was deleted or replaced while it was in use")

    def _identify(self) -> list[tuple[int, int]]:
        """The identity of each file: SQLite would go on writing to one that was deleted."""
        return [(found.st_dev, found.st_ino) for found in (self.path.stat(), self._wal.stat())]


def _number(cursor: sqlite3.Cursor) -> int:
    return int(cursor.fetchone()[0])


def _make_private(path: Path) -> None:
    """Make the file, for this user alone. SQLite gives its other file the same mode."""
    # A descriptor of a file that is open elsewhere in this process must not be closed: POSIX would drop its lock.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    effective = os.access in os.supports_effective_ids
    if not all(os.access(each, os.W_OK, effective_ids=effective) for each in (path, path.parent)):
        # SQLite calls that an I/O error.
        raise PermissionError(errno.EROFS, "it, or its directory, is read-only", str(path))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _check_pair(path: Path, wal: Path) -> None:
    """Raise `OutboxUnusable` where the newest messages are in a second file whose first is lost: SQLite drops these."""
    if path.stat().st_size == 0 and wal.exists() and wal.stat().st_size > 0:
        raise OutboxUnusable(
            f"the outbox {path} is gone, but {wal} is there and may hold messages: bring back the first file, or move "
            "the second one away to start with an empty outbox"
        )


def _unusable(path: Path, error: OSError | sqlite3.Error) -> OutboxUnusable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _IN_USE:
        return OutboxInUse(
            f"the outbox {path} is in use by another client, of this process or another one: close that one first, or "
            "give each client a file of its own"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, str(error))
    return OutboxUnusable(f"the outbox {path} can't be opened: {_remedy(error)}")


def _damaged(path: Path, damage: str) -> OutboxUnusable:
    return OutboxUnusable(
        f"the outbox {path} is damaged, or no outbox ({damage}): nothing was changed; move the file and {path}-wal "
        "away (the sqlite3 command's .recover may save messages), and start with a new one"
    )


def _remedy(error: BaseException) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    remedies: dict[int, str] = {
        sqlite3.SQLITE_FULL: "the disk is full: make room",
        sqlite3.SQLITE_READONLY: "it, or its directory, is read-only: let this user write there",
        sqlite3.SQLITE_CANTOPEN: "its directory must exist, and this user must be able to write there",
        sqlite3.SQLITE_IOERR: "the disk reports an error, or is full",
    }
    known = remedies.get(code)
    if known is None and isinstance(error, FileNotFoundError | NotADirectoryError) and error.errno is not None:
        known = "its directory must exist: make it"
    elif known is None and isinstance(error, IsADirectoryError | PermissionError):
        known = "it must be a file that this user can write, in such a directory"
    elif known is None and isinstance(error, FileNotFoundError):
        known = "make a new client, which makes a new file; this one still sends what it has accepted"
    detail: Any = f"{type(error).__name__}: {error}" if isinstance(error, sqlite3.Error) else error
    return f"{detail}; {known}" if known else str(detail)
