"""The store on PostgreSQL: several writers at once, lost connections, and places that can't be."""

import asyncio
import contextlib
import importlib.util
from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import TextClause, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from onesocket.errors import InvalidOption, MissingExtra, OnesocketError
from onesocket_discord.protocol._snowflakes import SnowflakeGenerator, snowflake_at
from onesocket_discord.server.store import Isolation, Store, UnitOfWork, _server_lease
from onesocket_discord.server.store._concurrent_writer import _CommitOrder
from onesocket_discord.server.store._migration import StoreTooNew
from onesocket_discord.server.store._postgresql import StoreUnreachable
from onesocket_discord.server.store._server_lease import SettingsDiffer
from onesocket_discord.server.store._sqlite import StoreInUse
from onesocket_discord.server.store._tables import channels, guilds, read_states, users
from tests.support.postgresql import PostgresqlServer
from tests.unit.onesocket_discord.server.service_fixture import expect_api_error

SECRET = "tr0ub4dor"


def row(n: int) -> dict[str, object]:
    return {"id": n, "username": str(n), "username_key": str(n), "bot": False}


@pytest.fixture
def where(postgresql: PostgresqlServer) -> Iterator[str]:
    with postgresql.place() as url:
        yield url


def name_of(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


# --- several writers --------------------------------------------------------------------------------------------------


async def test_servers_that_share_a_database_open_it_at_once_and_have_numbers_of_their_own(where: str) -> None:
    async def numbers(count: int) -> set[int]:
        async with Store.open(where, shared=True) as store:
            return {store.node, *(await numbers(count - 1) if count > 1 else ())}

    opened = await asyncio.gather(*(numbers(1) for _ in range(3)))  # one of them makes the tables
    assert all(len(each) == 1 for each in opened)
    assert len(await numbers(3)) == 3


async def test_servers_that_do_not_share_a_database_keep_each_other_out(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onesocket_discord.server.store._server_lease._PATIENCE", 0)
    for one, other in ((False, False), (False, True), (True, False)):
        async with Store.open(where, shared=one):
            with pytest.raises(StoreInUse, match=f"'{name_of(where)}' is in use by another server"):
                async with Store.open(where, shared=other):
                    pass


async def test_operations_that_are_in_each_others_way_are_tried_again(where: str) -> None:
    """Each adds one to what it has read; and two that lock two rows in opposite orders, a deadlock."""
    async with Store.open(where) as store:
        await store.write(lambda work: work.execute(insert(users), [row(1), row(2)]))
        attempts = 0

        async def add_one(work: UnitOfWork) -> None:
            nonlocal attempts
            attempts += 1
            name = await work.scalar(select(users.c.username).where(users.c.id == 1))
            await work.execute(update(users).where(users.c.id == 1).values(username=str(int(name or 0) + 1)))

        await asyncio.gather(*(store.write(add_one) for _ in range(8)))
        assert await store.write(lambda work: work.scalar(select(users.c.username).where(users.c.id == 1))) == "9"
        assert attempts > 8

        both = asyncio.Barrier(2)
        locked: list[tuple[int, int]] = []

        async def lock(work: UnitOfWork, order: tuple[int, int]) -> None:
            await work.execute(update(users).where(users.c.id == order[0]).values(bot=True))
            locked.append(order)
            if len(locked) <= 2:
                await work.execute(text("SET LOCAL deadlock_timeout = '1ms'"))
                await both.wait()
            await work.execute(update(users).where(users.c.id == order[1]).values(bot=True))

        async with asyncio.timeout(10):
            await asyncio.gather(
                *(store.write(lambda work, o=o: lock(work, o), Isolation.READ_COMMITTED) for o in ((1, 2), (2, 1)))  # type: ignore[misc]
            )
        assert len(locked) == 3


async def test_a_decision_on_what_was_read_holds_at_the_commit(where: str) -> None:
    """Two operations each add a row if there is none: one of them, however they overlap."""
    async with Store.open(where) as store:
        both = asyncio.Barrier(2)
        waits = 2

        async def add_the_only_one(work: UnitOfWork, n: int) -> bool:
            nonlocal waits
            if await work.scalar(select(func.count()).select_from(users)):
                return False
            if waits:
                waits -= 1
                await both.wait()
            await work.execute(insert(users).values(row(n)))
            return True

        added = await asyncio.gather(*(store.write(lambda work, n=n: add_the_only_one(work, n)) for n in (1, 2)))  # type: ignore[misc]
        assert sorted(added) == [False, True]


def test_callbacks_of_commits_run_in_the_order_in_which_they_were_sent() -> None:
    called: list[str] = []

    class Work:
        def __init__(self, name: str) -> None:
            self.name = name

        def committed(self) -> None:
            called.append(self.name)

    async def scenario() -> None:
        order = _CommitOrder()
        first, failing, last = order.take(), order.take(), order.take()
        waiting = asyncio.create_task(order.committed(last, Work("last")))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        order.failed(failing)
        assert called == []
        await order.committed(first, Work("first"))  # type: ignore[arg-type]
        await waiting
        assert called == ["first", "last"]

    asyncio.run(scenario())


# --- lost connections -------------------------------------------------------------------------------------------------


async def test_operations_go_on_after_every_connection_was_lost(postgresql: PostgresqlServer, where: str) -> None:
    async with Store.open(where) as store, asyncio.timeout(20):
        await store.write(lambda work: work.execute(insert(users).values(row(1))))
        assert store._lease is not None
        lost, held = store._lease._ended, store._lease._held
        postgresql.end_connections(name_of(where))
        await lost.wait()
        await held.wait()
        await store.write(lambda work: work.execute(insert(users).values(row(2))))
        async with store.reading() as connection:
            assert await connection.scalar(select(func.count()).select_from(users)) == 2


async def test_servers_run_with_the_settings_of_the_first_one_while_it_runs(where: str) -> None:
    async with Store.open(where, shared=True) as one, Store.open(where, shared=True) as other:
        await one.agree_on({"--registration": "invite", "limit": "1"})
        with pytest.raises(SettingsDiffer, match=r"run with --registration invite, this one .* --registration open; "):
            await other.agree_on({"--registration": "open", "limit": "1"})
        await other.agree_on({"--registration": "invite", "limit": "1", "of a later release": "x"})
        async with Store.open(where, shared=True):
            pass  # a command beside them, which has no settings
    async with Store.open(where, shared=True) as later:
        await later.agree_on({"--registration": "open"})


async def test_of_servers_that_begin_at_once_one_decides(where: str) -> None:
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(20):
        stores = [await stack.enter_async_context(Store.open(where, shared=True)) for _ in range(4)]
        agreeing = (store.agree_on({"--registration": str(number)}) for number, store in enumerate(stores))
        results = await asyncio.gather(*agreeing, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", *["SettingsDiffer"] * 3]


async def test_of_servers_that_add_a_setting_at_once_one_decides(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server_lease, "_COMPARE_AGAIN", 0.0)
    store, both = _server_lease._store, asyncio.Barrier(2)

    async def store_at_once(connection: AsyncConnection, settings: Mapping[str, str], statement: TextClause) -> None:
        """Adds once both have found that there is none."""
        await both.wait()
        await store(connection, settings, statement)

    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(20):
        earlier, *later = [await stack.enter_async_context(Store.open(where, shared=True)) for _ in range(3)]
        await earlier.agree_on({"--registration": "invite"})
        monkeypatch.setattr(_server_lease, "_store", store_at_once)
        agreeing = (one.agree_on({"--registration": "invite", "new": str(n)}) for n, one in enumerate(later))
        results = await asyncio.gather(*agreeing, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "SettingsDiffer"]


async def test_settings_of_a_server_that_ends_meanwhile_hold_nobody_up(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_server_lease, "_COMPARE_AGAIN", 15.0)
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(20):
        stores = [await stack.enter_async_context(Store.open(where, shared=True)) for _ in range(2)]
        async with Store.open(where, shared=True) as ending:
            await ending.agree_on({"--registration": "open"})
            agreeing = [asyncio.create_task(store.agree_on({"--registration": "invite"})) for store in stores]
            await asyncio.sleep(0)  # they have asked, and find its settings
        await asyncio.gather(*agreeing)
        later = await stack.enter_async_context(Store.open(where, shared=True))
        await later.agree_on({"--registration": "invite", "of a later release": "y"})
        last = await stack.enter_async_context(Store.open(where, shared=True))
        monkeypatch.setattr(_server_lease, "_COMPARE_AGAIN", 0.0)
        with pytest.raises(SettingsDiffer, match="run with of a later release y, this one would with of a later"):
            await last.agree_on({"--registration": "invite", "of a later release": "z"})


async def test_a_server_agrees_anew_after_its_locks_were_lost(postgresql: PostgresqlServer, where: str) -> None:
    async with Store.open(where, shared=True) as one, asyncio.timeout(20):
        await one.agree_on({"--registration": "invite"})
        assert one._lease is not None
        lost, held = one._lease._ended, one._lease._held
        postgresql.end_connections(name_of(where))
        await lost.wait()
        await held.wait()
        async with Store.open(where, shared=True) as other:
            with pytest.raises(SettingsDiffer):
                await other.agree_on({"--registration": "open"})


async def test_nothing_is_written_without_the_lock_on_the_database(postgresql: PostgresqlServer, where: str) -> None:
    async with Store.open(where) as store:
        assert store._lease is not None
        store._lease._held.clear()
        with expect_api_error(503, 0):
            await store.write(lambda work: work.execute(insert(users).values(row(1))))
        store._lease._held.set()


# --- places that can't be ---------------------------------------------------------------------------------------------


async def problem(where: str) -> OnesocketError:
    with pytest.raises(OnesocketError) as info:
        async with Store.open(where):
            pass
    chain: BaseException | None = info.value
    while chain is not None:
        assert SECRET not in str(chain)
        chain = chain.__cause__
    return info.value


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (f"mysql://ann:{SECRET}@localhost/chat", "'mysql' is no kind of database"),
        (f"postgresql+psycopg://ann:{SECRET}@localhost/chat", "'postgresql+psycopg' is no kind of database"),
        (f"postgresql://ann:{SECRET}@localhost:port/chat", "a number as the port"),
        (f"postgresql://ann:x@{SECRET}@localhost/chat", "write that of a password as %40"),
        (f"postgresql://ann:{SECRET}@localhost", "names no database"),
        (f"postgresql://ann:{SECRET}@localhost/", "names no database"),
    ],
)
async def test_urls_that_name_no_database(where: str, text: str) -> None:
    error = await problem(where)
    assert isinstance(error, InvalidOption)
    assert text in str(error)
    assert "postgresql+asyncpg://USER@HOST/DATABASE" in str(error) or "%40" in text


async def test_a_missing_driver_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "asyncpg" else found(name))
    error = await problem("postgresql://localhost/chat")
    assert isinstance(error, MissingExtra)
    assert "onesocket-discord[server,postgresql]" in str(error)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
async def test_a_server_that_is_not_there(scheme: str) -> None:
    error = await problem(f"{scheme}://ann:{SECRET}@127.0.0.1:1/chat")
    assert isinstance(error, StoreUnreachable)
    assert "127.0.0.1:1 can't be reached" in str(error)


async def test_a_database_that_is_not_there(postgresql: PostgresqlServer) -> None:
    error = await problem(postgresql.url("missing"))
    assert isinstance(error, StoreUnreachable)
    assert "there is no database 'missing'" in str(error)
    assert "createdb" in str(error)


async def test_a_wrong_password(postgresql: PostgresqlServer, where: str) -> None:
    postgresql.sql("DROP ROLE IF EXISTS locked", "CREATE ROLE locked LOGIN PASSWORD 'right'")
    postgresql.trust("local all locked scram-sha-256")
    for login in (f"locked:{SECRET}", "locked"):
        error = await problem(where.replace("tester@", f"{login}@"))
        assert isinstance(error, StoreUnreachable)
        assert "refuses the user 'locked'" in str(error)
        assert "PGPASSWORD" in str(error)


async def test_a_user_who_may_not_make_tables(postgresql: PostgresqlServer, where: str) -> None:
    postgresql.sql("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")
    error = await problem(where.replace("tester@", "guest@"))
    assert isinstance(error, StoreUnreachable)
    assert "the user 'guest' may not use the database" in str(error)


async def test_a_database_that_lacks_most_characters(postgresql: PostgresqlServer) -> None:
    with postgresql.database("ENCODING SQL_ASCII TEMPLATE template0") as name:
        error = await problem(postgresql.url(name))
    assert isinstance(error, InvalidOption)
    assert "SQL_ASCII" in str(error)


async def test_a_database_of_another_program_and_one_of_a_later_release(
    postgresql: PostgresqlServer, where: str
) -> None:
    postgresql.sql("CREATE TABLE other (x int)", database=name_of(where))
    assert "another program" in str(await problem(where))
    postgresql.sql("DROP TABLE other", database=name_of(where))
    async with Store.open(where):
        pass
    postgresql.sql("UPDATE alembic_version SET version_num = '9999'", database=name_of(where))
    error = await problem(where)
    assert isinstance(error, StoreTooNew)
    assert "upgrade onesocket" in str(error)


async def test_a_database_of_an_earlier_release_becomes_what_a_new_one_is(
    postgresql: PostgresqlServer, where: str
) -> None:
    shape = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY 1, 2"
    )
    async with Store.open(where) as store:

        async def fill(work: UnitOfWork) -> None:
            at = {"id": 7, "type": 0, "position": 0, "last_message_id": 5}
            await work.execute(insert(channels).values(at))
            await work.execute(insert(users).values({**row(3), "username": "Bi11"}))
            await work.execute(insert(read_states).values(user_id=3, channel_id=7, last_message_id=6))

        await store.write(fill)
    new = postgresql.sql(shape, database=name_of(where))
    postgresql.sql(
        "ALTER TABLE guilds DROP COLUMN members_version",
        "ALTER TABLE channels DROP COLUMN sequence",
        "ALTER TABLE messages DROP COLUMN attachments",
        "DROP TABLE attachments",
        "ALTER TABLE users DROP COLUMN username_skeleton",
        "ALTER TABLE users DROP COLUMN disabled_at, DROP COLUMN restricts_dms, DROP COLUMN bot_public",
        "ALTER TABLE users DROP COLUMN denied_intents",
        "ALTER TABLE members DROP COLUMN roles",
        "DROP TABLE roles, bans, relationships, reports, settings",
        "UPDATE alembic_version SET version_num = '0003'",
        database=name_of(where),
    )
    async with Store.open(where) as store, store.reading() as connection:
        assert await connection.scalar(select(channels.c.sequence)) == 5
        assert await connection.scalar(select(func.count()).select_from(guilds)) == 0
        assert await connection.scalar(select(users.c.username_skeleton)) == "bill"
        assert await connection.scalar(select(read_states.c.last_message_id)) == 5  # 6 was never there
    assert postgresql.sql(shape, database=name_of(where)) == new


# --- ids --------------------------------------------------------------------------------------------------------------


def test_no_two_servers_make_the_same_id_and_each_makes_larger_ones_than_it_is_told() -> None:
    at = 1.8e9
    one = SnowflakeGenerator(lambda: at, node=lambda: 1)
    other = SnowflakeGenerator(lambda: at, node=lambda: 2)
    made = [generator.next() for generator in (one, other) for _ in range(10_000)]  # more than fit into a millisecond
    assert len(set(made)) == 20_000
    assert {number >> 12 & 1023 for number in made[:10_000]} == {1}
    assert made[:10_000] == sorted(made[:10_000])
    ahead = snowflake_at(at + 60) | 5 << 12 | 17
    for generator, node in ((one, 1), (other, 2)):
        number = generator.next(after=ahead)
        assert (number > ahead, number >> 12 & 1023) == (True, node)
        assert generator.next() > number
