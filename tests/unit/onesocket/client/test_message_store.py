"""The file of a `DurableOutbox`: what it keeps, and how it fails."""

from __future__ import annotations

import math
import os
import re
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from onesocket.client._message_store import (
    SCHEMA_VERSION,
    Delete,
    Insert,
    Mark,
    MessageStore,
    Operation,
    StoredRow,
)
from onesocket.errors import MessageNotStored, OutboxInUse, OutboxUnusable


def row(number: int, data: str | bytes = "text", message_id: str | int | None = None) -> StoredRow:
    return StoredRow(number, message_id, data, 1.5, math.inf, may_have_arrived=False)


def write(path: Path, *operations: Operation) -> None:
    store = MessageStore(path)
    store.apply(operations)
    store.close()


def rows(path: Path) -> list[StoredRow]:
    store = MessageStore(path)
    store.close()
    return store.rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_rows_come_back_as_they_were_in_order(path: Path) -> None:
    given = [row(1, "ä\0b", "id"), row(2, b"\xff\0", 7), row(10, ""), row(11, b"")]
    write(path, *map(Insert, reversed(given)))
    assert rows(path) == given


def test_marks_and_deletions_are_kept(path: Path) -> None:
    write(path, *(Insert(row(number)) for number in (1, 2, 3)))
    write(path, Mark(2), Delete(1), Delete(99))
    assert [(each.number, each.may_have_arrived) for each in rows(path)] == [(2, True), (3, False)]


def test_a_transaction_is_written_whole_or_not_at_all(path: Path) -> None:
    store = MessageStore(path)
    with pytest.raises(MessageNotStored, match=str(path)) as caught:
        store.apply([Insert(row(1)), Insert(row(1))])
    assert caught.value.retryable
    store.apply([Insert(row(2))])
    store.close()
    assert [each.number for each in rows(path)] == [2]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_files_belong_to_the_user_alone_also_if_they_did_not_before(path: Path) -> None:
    path.touch(0o644)
    store = MessageStore(path)
    store.apply([Insert(row(1))])
    modes = [stat.S_IMODE(file.stat().st_mode) for file in sorted(path.parent.iterdir())]
    store.close()
    assert modes == [0o600, 0o600]


def test_a_file_that_is_open_is_in_use_and_free_once_it_is_closed(path: Path) -> None:
    store = MessageStore(path)
    for _ in range(2):  # the refusal takes no lock away
        with pytest.raises(OutboxInUse, match=f"{path}.*file of its own"):
            MessageStore(path)
    store.apply([Insert(row(1))])
    store.close()
    assert len(rows(path)) == 1


def damaged(path: Path) -> None:
    write(path, *(Insert(row(number, "x" * 5_000)) for number in range(1, 9)))
    content = bytearray(path.read_bytes())
    content[4_096:12_288] = os.urandom(8_192)
    path.write_bytes(content)


def no_database(path: Path) -> None:
    path.write_text("a file of another kind, longer than a header of SQLite" * 50)


def of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()


def of_a_newer_release(path: Path) -> None:
    write(path, Insert(row(1)))
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()


def without_its_first_file(path: Path) -> None:
    store = MessageStore(path)
    store.apply([Insert(row(1))])
    newest = Path(f"{path}-wal").read_bytes()
    store.close()
    path.unlink()
    Path(f"{path}-wal").write_bytes(newest)


def a_directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (damaged, "is damaged, or no outbox .* nothing was changed; move the file"),
        (no_database, "is damaged, or no outbox .* move the file"),
        (of_another_program, "a database of another program: .* another path"),
        (of_a_newer_release, "a newer release of onesocket .* install that release"),
        (without_its_first_file, "is gone, but .*-wal is there"),
        (a_directory, "can't be opened: .* must be a file that this user can write|can't be opened: .*directory"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_and_not_changed(path: Path, spoil: object, text: str) -> None:
    assert callable(spoil)
    spoil(path)
    before = {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file() and file.stat().st_size}
    with pytest.raises(OutboxUnusable, match=text) as caught:
        MessageStore(path)
    assert str(path) in str(caught.value)
    assert not isinstance(caught.value, OutboxInUse)
    after = {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file() and file.stat().st_size}
    assert after == before


def test_a_missing_directory_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(OutboxUnusable, match=r"nowhere/outbox\.db.*must exist: make it"):
        MessageStore(tmp_path / "nowhere" / "outbox.db")


READ_ONLY = """
import os, pathlib, sys, tempfile
from onesocket.client._message_store import MessageStore
from onesocket.errors import OutboxUnusable
with tempfile.TemporaryDirectory() as name:
    directory, path = pathlib.Path(name), pathlib.Path(name, "outbox.db")
    MessageStore(path).close()
    if sys.argv[1] == "file":
        path.chmod(0o444)
    elif sys.argv[1] == "new file":
        path.unlink()
    owner = 65_534 if os.geteuid() == 0 else os.geteuid()  # no mode keeps root out
    os.chown(directory, owner, -1)
    if path.exists():
        os.chown(path, 0 if os.geteuid() == 0 and sys.argv[1] == "file" else owner, -1)
    directory.chmod(0o555)
    os.seteuid(owner)
    try:
        MessageStore(path)
    except OutboxUnusable as error:
        print(error)
    os.seteuid(os.getuid())
    directory.chmod(0o755)
"""


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("read_only", ["directory", "new file", "file"])
def test_a_read_only_file_or_directory_is_named_with_its_remedy(read_only: str) -> None:
    program = [sys.executable, "-c", READ_ONLY, read_only]
    said = subprocess.run(program, check=True, capture_output=True, text=True, timeout=30).stdout  # noqa: S603 - ours
    assert "outbox.db can't be opened" in said
    assert re.search("let this user write there|must be able to write there|that this user can write", said), said


def test_a_full_disk_is_named_with_its_remedy_and_room_helps(path: Path) -> None:
    store = MessageStore(path)
    store.apply([Insert(row(1))])
    store._database.execute("PRAGMA max_page_count = 3")
    with pytest.raises(MessageNotStored, match=f"{path}.*the disk is full: make room"):
        store.apply([Insert(row(2, b"x" * 100_000))])
    store._database.execute("PRAGMA max_page_count = 1000000")
    store.apply([Insert(row(3))])
    store.close()
    assert [each.number for each in rows(path)] == [1, 3]


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_was_deleted_or_replaced_takes_no_more(path: Path, suffix: str, is_replaced: bool) -> None:
    store = MessageStore(path)
    store.apply([Insert(row(1))])
    gone = Path(f"{path}{suffix}")
    gone.rename(gone.with_name("elsewhere"))
    if is_replaced:
        gone.touch()
    with pytest.raises(MessageNotStored, match=f"{path}.*make a new client"):
        store.apply([Insert(row(2))])
    store.close()
