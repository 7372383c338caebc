"""The store: one commit for many, nothing half done, nothing lost, the shape of the tables."""

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from onesocket.errors import InvalidOption
from onesocket_discord.protocol._snowflakes import (
    MAX_SNOWFLAKE,
    SnowflakeGenerator,
    parse_snowflake,
    snowflake_at,
    snowflake_time,
)
from onesocket_discord.server.store import Store, UnitOfWork
from onesocket_discord.server.store._concurrent_writer import ConcurrentWriter
from onesocket_discord.server.store._migration import MIGRATIONS, upgrade
from onesocket_discord.server.store._sqlite import StoreInUse
from onesocket_discord.server.store._tables import tokens, users
from tests.unit.onesocket_discord.server.service_fixture import expect_api_error, running_service
from tests.unit.onesocket_discord.server.writer_process import check_stored, read_acknowledged, start_writer


def row(n: int) -> dict[str, object]:
    return {"id": n, "username": str(n), "username_key": str(n), "bot": False}


def writer_engine(store: Store) -> AsyncEngine:
    writer: Any = store._writer
    engine: AsyncEngine = writer._engine
    return engine


def one_at_a_time(store: Store) -> None:
    """Let operations wait for each other on PostgreSQL, too."""
    if isinstance(store._writer, ConcurrentWriter):
        store._writer._slots = asyncio.Semaphore(1)


async def count(store: Store) -> int:
    async with store.reading() as connection:
        return await connection.scalar(select(func.count()).select_from(users)) or 0


async def test_an_operation_that_fails_takes_nothing_with_it(where: str) -> None:
    called: list[str] = []
    async with Store.open(where) as store:

        async def add(work: UnitOfWork, n: int, *, fail: bool) -> int:
            await work.connection.execute(insert(users).values(row(n)))
            work.after_commit(lambda: called.append(f"{n} kept"))
            work.on_rollback(lambda: called.append(f"{n} undone"))
            if fail:
                raise ValueError(n)
            return n

        results = await asyncio.gather(
            *(store.write(lambda work, n=n: add(work, n, fail=n % 3 == 0)) for n in range(1, 10)),  # type: ignore[misc]
            return_exceptions=True,
        )
        assert [result for result in results if isinstance(result, int)] == [1, 2, 4, 5, 7, 8]
        assert await count(store) == 6
        if "postgresql" in where:  # side by side, in any order
            called.sort()
        assert [one for one in called if "kept" in one] == [f"{n} kept" for n in (1, 2, 4, 5, 7, 8)]
        assert [one for one in called if "undone" in one] == ["3 undone", "6 undone", "9 undone"]


async def test_many_share_a_commit(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "chat.db") as store:
        commits: list[object] = []
        event.listen(writer_engine(store).sync_engine, "commit", commits.append)

        async def add(work: UnitOfWork, n: int) -> None:
            await work.connection.execute(insert(users).values(row(n)))

        await asyncio.gather(*(store.write(lambda work, n=n: add(work, n)) for n in range(1, 65)))  # type: ignore[misc]
        assert await count(store) == 64
        assert len(commits) < 10


async def test_a_commit_that_fails_is_everybodys_failure_and_not_the_end(where: str) -> None:
    async with Store.open(where) as store:
        failing = True

        def fail(_connection: object) -> None:
            if failing:
                raise sqlite3.OperationalError("disk full")

        event.listen(writer_engine(store).sync_engine, "commit", fail)
        undone: list[int] = []

        async def add(work: UnitOfWork, n: int) -> None:
            await work.connection.execute(insert(users).values(row(n)))
            work.on_rollback(lambda: undone.append(n))

        results = await asyncio.gather(
            *(store.write(lambda work, n=n: add(work, n)) for n in (1, 2)),  # type: ignore[misc]
            return_exceptions=True,
        )
        assert all(isinstance(result, sqlite3.OperationalError) for result in results)
        assert sorted(undone) == [1, 2]
        failing = False
        assert await count(store) == 0
        await store.write(lambda work: add(work, 3))
        assert await count(store) == 1


async def test_readers_see_only_what_is_committed(where: str) -> None:
    async with Store.open(where) as store:
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def slow(work: UnitOfWork) -> None:
            await work.connection.execute(insert(users).values(row(1)))
            inside.set()
            await go_on.wait()

        writing = asyncio.create_task(store.write(slow))
        await inside.wait()
        reading = asyncio.create_task(count(store))
        if where != ":memory:":  # one connection takes turns; two go on side by side
            assert await reading == 0
        go_on.set()
        await writing
        assert await reading == (1 if where == ":memory:" else 0)


async def test_whoever_stops_waiting_before_their_turn_changes_nothing(where: str) -> None:
    async with Store.open(where) as store:
        one_at_a_time(store)
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: UnitOfWork) -> None:
            inside.set()
            await go_on.wait()

        async def add(work: UnitOfWork) -> None:
            await work.connection.execute(insert(users).values(row(1)))

        first = asyncio.create_task(store.write(slow))
        await inside.wait()
        second = asyncio.create_task(store.write(add))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        go_on.set()
        await first
        assert await count(store) == 0


async def test_a_store_that_is_too_slow_says_so_and_stores_nothing(where: str) -> None:
    async with Store.open(where) as store:
        one_at_a_time(store)
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def slow(work: UnitOfWork) -> None:
            await work.connection.execute(insert(users).values(row(1)))
            entered.set()
            await go_on.wait()

        async def behind_it(work: UnitOfWork) -> None:
            await work.connection.execute(insert(users).values(row(2)))

        first = asyncio.create_task(store.write(slow))
        await entered.wait()
        writer: Any = store._writer
        writer._timeout = 0.01
        with expect_api_error(503, 0):
            await store.write(behind_it)
        writer._timeout = 30
        go_on.set()
        await first
        assert await store.write(lambda work: work.connection.scalar(select(func.count()).select_from(users))) == 1


async def test_a_closed_store_takes_nothing(where: str) -> None:
    async with Store.open(where) as store:
        pass

    async def nothing(_: UnitOfWork) -> None:
        pytest.fail("it ran")

    with expect_api_error(503, 0):
        await store.write(nothing)


async def test_the_file_is_held_against_a_second_server(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "chat.db"):
        with pytest.raises(StoreInUse, match="in use by another server"):
            async with Store.open(tmp_path / "chat.db"):
                pass
    async with Store.open(tmp_path / "chat.db"):
        pass


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
async def test_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "chat.db") as store:
        assert await count(store) == 0
        modes = {
            entry.name: entry.stat().st_mode & 0o077 for entry in os.scandir(tmp_path) if ".lock" not in entry.name
        }
    assert modes.keys() >= {"chat.db", "chat.db-wal"}
    assert set(modes.values()) == {0}


@pytest.mark.parametrize("place", ["nowhere://x", "not a url://", "{tmp}/missing/chat.db"])
async def test_places_that_can_not_be(place: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption):
        async with Store.open(place.format(tmp=tmp_path)):
            pass


async def test_the_file_is_as_durable_as_sqlite_can(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "chat.db") as store, writer_engine(store).connect() as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys")
        found = [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in asked]
    assert found == ["wal", 2, 1]


# --- migrations -------------------------------------------------------------------------------------------------------


# What earlier releases ran, as they ran it.
ALEMBIC_STEPS = {
    "0001": [],
    "0002": ["ALTER TABLE messages ADD COLUMN forward JSON"],
    "0003": [
        "ALTER TABLE tokens ADD COLUMN last_used_at FLOAT",
        "ALTER TABLE tokens ADD COLUMN client VARCHAR(200)",
    ],
}


def write_alembic_database(file: Path, version: str) -> None:
    """A database with one user and one token, as a release that used Alembic left it."""
    connection = sqlite3.connect(file)
    connection.executescript(Path(__file__).with_name("version_0001.sql").read_text("utf-8"))
    for name, steps in ALEMBIC_STEPS.items():
        if name <= version:
            connection.executescript(";".join(steps))
    connection.execute("UPDATE alembic_version SET version_num = ?", [version])
    connection.commit()
    connection.close()


def shape(file: Path) -> dict[str, list[object]]:
    """Columns, foreign keys and indexes of each table, and the version."""
    connection = sqlite3.connect(file)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found: dict[str, list[object]] = {"version": connection.execute("SELECT * FROM alembic_version").fetchall()}
    for name in names:
        indexes = [row[1:4] for row in connection.execute(f"PRAGMA index_list('{name}')")]
        columns = [connection.execute(f"PRAGMA index_info('{index}')").fetchall() for index, _, _ in indexes]
        kinds = sorted(
            (str(columns), unique, origin) for columns, (_, unique, origin) in zip(columns, indexes, strict=True)
        )
        keys = sorted(str(key[2:]) for key in connection.execute(f"PRAGMA foreign_key_list('{name}')"))
        found[name] = [connection.execute(f"PRAGMA table_info('{name}')").fetchall(), keys, kinds]
    connection.close()
    return found


@pytest.mark.parametrize("version", list(ALEMBIC_STEPS))
async def test_a_database_of_an_earlier_release_becomes_what_a_new_one_is(tmp_path: Path, version: str) -> None:
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    write_alembic_database(old, version)
    async with Store.open(new), Store.open(old) as store:
        assert await count(store) == 1
        async with store.reading() as connection:
            assert (await connection.execute(select(tokens))).one() == (b"\0", 1, 1.5, None, None)
    assert shape(old) == shape(new)
    assert shape(new)["version"] == [(list(MIGRATIONS)[-1],)]


async def test_migrations_run_once_and_keep_what_is_there(tmp_path: Path) -> None:
    for n in (1, 2):
        async with Store.open(tmp_path / "chat.db") as store:

            async def add(work: UnitOfWork, n: int = n) -> None:
                await work.connection.execute(insert(users).values(row(n)))

            await store.write(add)
            assert await count(store) == n


async def test_a_migration_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: Connection) -> None:
        upgrade(connection)
        raise RuntimeError("in the middle")

    monkeypatch.setattr("onesocket_discord.server.store._store.upgrade", broken)
    with pytest.raises(RuntimeError, match="in the middle"):
        async with Store.open(tmp_path / "chat.db"):
            pass
    connection = sqlite3.connect(tmp_path / "chat.db")
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()


# --- ids --------------------------------------------------------------------------------------------------------------


def test_ids_grow_whatever_the_clock_does() -> None:
    times = iter([1.8e9, 1.8e9, 1.7e9, 0.0, 1.8e9 + 1])
    ids = SnowflakeGenerator(lambda: next(times))
    given = [ids.next() for _ in range(5)]
    assert given == sorted(set(given))
    assert snowflake_time(given[0]) == 1.8e9
    assert snowflake_time(given[4]) == 1.8e9 + 1
    assert SnowflakeGenerator(lambda: 0.0, last=given[4]).next() == given[4] + 1


def test_ids_are_read_strictly() -> None:
    good: dict[object, int] = {"0": 0, "12": 12, 5: 5, str(MAX_SNOWFLAKE): MAX_SNOWFLAKE}
    assert {text: parse_snowflake(text) for text in good} == good
    bad: list[object] = [
        "",
        "-1",
        "+1",
        "1.0",
        " 1",
        "1_0",
        "٣",
        "²",
        "x",
        str(MAX_SNOWFLAKE + 1),
        "9" * 30,
        -1,
        True,
        None,
        1.0,
    ]
    assert [parse_snowflake(one) for one in bad] == [None] * len(bad)
    assert snowflake_at(1_420_070_400.001) == 1 << 22


async def test_no_id_is_given_twice_across_a_restart(tmp_path: Path) -> None:
    async with running_service(tmp_path / "chat.db") as world:
        world.clock.now += 1000
        ann = await world.person("ann")
        channel = await world.general(ann)
        last = int((await world.say(ann, channel, "x"))["id"])
    async with running_service(tmp_path / "chat.db") as world:  # its clock is 1 000 s behind
        assert int((await world.say(ann, channel, "y"))["id"]) > last


# --- kill -9 ----------------------------------------------------------------------------------------------------------


async def test_what_was_acknowledged_survives_kill_9_and_is_not_doubled(tmp_path: Path) -> None:
    file = tmp_path / "chat.db"
    async with running_service(file) as world:
        ann = await world.person("ann")
        channel = await world.general(ann)
    acknowledged: dict[int, str] = {}
    for stop_after in (1, 13, 30):
        start = max(0, *acknowledged, 0) // 8 * 8
        child = await start_writer(str(file), channel, start)
        async with asyncio.timeout(40):
            await read_acknowledged(child, acknowledged, stop_after)
        child.kill()
        await read_acknowledged(child, acknowledged)
        await child.wait()
    async with running_service(file) as world:
        await check_stored(world, ann, channel, acknowledged)
    check = sqlite3.connect(file)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert check.execute("PRAGMA foreign_key_check").fetchall() == []
    check.close()


async def test_stores_in_memory_that_open_at_the_same_time_share_nothing() -> None:
    async def opened_alone() -> int:
        async with Store.open(":memory:") as store:
            return await count(store)

    assert await asyncio.gather(*(opened_alone() for _ in range(3))) == [0, 0, 0]
