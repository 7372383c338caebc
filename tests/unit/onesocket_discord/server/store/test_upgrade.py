"""Upgrades of databases that earlier releases have made, with their data, on SQLite and PostgreSQL.

`dumps` holds what servers of the versions 0004, 0005 and 0007 of the tables have stored: two people and a bot, a guild
of theirs, messages with an edit, a reply, an embed, a reaction, a pin and, from 0005 on, a file; in 0007 a moderator,
and another role of the same name.
"""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, insert, select, update

from onesocket_discord.server._ports import Account
from onesocket_discord.server.store import Store, _migration
from onesocket_discord.server.store._migration import MIGRATIONS, StoreTooNew
from onesocket_discord.server.store._tables import METADATA, messages, users
from tests.support.postgresql import PostgresqlServer
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, expect_api_error, running_service
from tests.unit.onesocket_discord.server.store.test_store import shape

_ROOT = Path(__file__).resolve().parents[5]
_DEADLINE = 30.0
_LATEST = list(MIGRATIONS)[-1]
_PASSWORD = "correct horse"
_COLUMNS = """
SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
"""
_CONSTRAINTS = """
SELECT conrelid::regclass, contype, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2, 3
"""
_INDEXES = "SELECT tablename, regexp_replace(indexdef, 'INDEX \\S+', '') FROM pg_indexes WHERE schemaname = 'public'"


_EACH = ("sqlite 0004", "postgresql 0004")


@dataclass(frozen=True)
class OldDatabase:
    """A database as an earlier release left it."""

    version: str
    where: str
    query: Callable[[str], str]
    """Asks the database itself; returns the first value as text."""
    describe: Callable[[str], object]
    """The tables of a database, by its place."""
    empty: str
    """The place of a second database, without tables."""

    def stored_version(self) -> str:
        """The version of the tables, beside any transaction."""
        return self.query("SELECT version_num FROM alembic_version")


@pytest.fixture(
    params=[f"{kind} {version}" for kind in ("sqlite", "postgresql") for version in ("0004", "0005", "0007")]
)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OldDatabase]:
    kind, version = request.param.split()
    dump = (Path(__file__).parent / "dumps" / f"version_{version}.{kind}.sql").read_text("utf-8")
    if kind == "sqlite":
        file = tmp_path / "chat.db"
        with sqlite3.connect(file) as connection:
            connection.executescript(dump)
        connection.close()

        def query(sql: str) -> str:
            with sqlite3.connect(file) as reading:
                (found,) = reading.execute(sql).fetchone()
            reading.close()
            return str(found)

        yield OldDatabase(version, str(file), query, lambda place: shape(Path(place)), str(tmp_path / "new.db"))
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    with server.database() as name, server.database() as new:
        server.sql(dump, database=name)

        def describe(place: str) -> object:
            database = place.partition("@/")[2].partition("?")[0]
            return [
                sorted(server.sql(sql, database=database).splitlines()) for sql in (_COLUMNS, _CONSTRAINTS, _INDEXES)
            ]

        yield OldDatabase(
            version, server.url(name), lambda sql: server.sql(sql, database=name).strip(), describe, server.url(new)
        )


async def sign_in(world: ServiceFixture, name: str) -> Account:
    return await world.account((await world.service.accounts.login({"login": name, "password": _PASSWORD}))["token"])


async def test_everything_that_was_stored_is_there_and_can_be_used(old: OldDatabase) -> None:
    async with running_service(old.where) as world:
        service = world.service
        ann, bob = [await sign_in(world, name) for name in ("ann", "BOB ü")]
        general = await world.general(ann)
        history = await service.messages.history(ann, general)
        texts = ["with a file"] * (old.version >= "0005") + ["", f"a reply to <@{ann.user_id}>", "first, edited"]
        assert [one["content"] for one in history] == texts
        first, reply, embed = history[-1], history[-2], history[-3]
        assert first["edited_timestamp"] is not None
        assert [(one["emoji"]["name"], one["count"]) for one in first["reactions"]] == [("👍", 1)]
        assert [pin["message"]["id"] for pin in await service.pins.all(ann, general)] == [first["id"]]
        assert (reply["referenced_message"]["id"], reply["mentions"][0]["id"]) == (first["id"], str(ann.user_id))
        assert embed["embeds"][0]["title"] == "an embed"
        assert embed["components"][0]["components"][0]["custom_id"] == "x"
        if old.version >= "0005":
            (file,) = history[0]["attachments"]
            key = file["url"].partition("key=")[2]
            assert (await service.attachments.get(general, int(file["id"]), key)).body == b"\0file\xff"
        assert (embed["author"]["username"], embed["author"]["bot"]) == ("robo", True)
        workshop = next(one for one in await service.guilds.mine(bob) if one["name"] == "workshop")
        (channel,) = await service.channels.of_guild(bob, int(workshop["id"]))
        (hello,) = await service.messages.history(bob, int(channel["id"]))
        assert hello["content"] == 'hello\nworkshop; it\'s "quoted"'
        (between,) = await service.messages.history(bob, await world.dm(bob, ann))
        assert between["content"] == "between us"
        later = await world.say(bob, general, "after the upgrade")
        assert int(later["id"]) > max(int(one["id"]) for one in (*history, hello, between))
        await service.messages.delete(ann, general, int(first["id"]))  # with its reaction, by a foreign key
    assert old.stored_version() == _LATEST
    assert old.query("SELECT count(*) FROM reactions") == "0"


async def test_its_tables_are_those_of_a_new_database(old: OldDatabase) -> None:
    async with Store.open(old.where), Store.open(old.empty):
        pass
    assert old.describe(old.where) == old.describe(old.empty)


@pytest.mark.parametrize("old", ["sqlite 0007", "postgresql 0007"], indirect=True)
async def test_the_moderators_role_is_the_one_that_the_servers_owner_gave(old: OldDatabase) -> None:
    async with running_service(old.where) as world:
        guild, roles = world.service.default_guild, world.service.roles
        ann, bob = [await sign_in(world, name) for name in ("ann", "BOB ü")]
        (_, others, given) = await roles.all(ann, guild)
        assert [role["name"] for role in (others, given)] == ["moderator", "moderator"]
        await roles.edit(ann, guild, int(given["id"]), {"name": "helpers"})
        await roles.set_moderator(guild, ann.user_id, is_one=True)
        members = {
            one["user"]["username"]: one["roles"] for one in await world.service.guilds.members(ann, guild, limit=9)
        }
        assert (members["ann"], members["Bob ü"], members["robo"]) == ([given["id"]], [given["id"]], [others["id"]])
        await roles.set_moderator(guild, bob.user_id, is_one=False)
        assert (await world.service.guilds.member(ann, guild, bob.user_id))["roles"] == []


@pytest.mark.parametrize("old", ["sqlite 0007"], indirect=True)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE roles SET permissions = permissions + 32 WHERE hoist",  # MANAGE_GUILD
        "UPDATE roles SET position = 3 - position",  # the other one was found first
        "UPDATE roles SET name = 'helpers' WHERE hoist",
    ],
)
async def test_a_moderators_role_that_is_not_as_it_was_made_is_nobodys(old: OldDatabase, statement: str) -> None:
    change(old, statement)
    async with running_service(old.where) as world:
        ann, guild = await sign_in(world, "ann"), world.service.default_guild
        await world.service.roles.set_moderator(guild, ann.user_id, is_one=True)
        (_, made, *before) = await world.service.roles.all(ann, guild)
        assert (await world.service.guilds.member(ann, guild, ann.user_id))["roles"] == [made["id"]]
        assert made["id"] not in [one["id"] for one in before]
        assert len(before) == 2


@pytest.mark.parametrize("old", _EACH, indirect=True)
async def test_what_looks_alike_is_found_by_the_rules_of_this_release(old: OldDatabase) -> None:
    change(old, "UPDATE users SET username = 'ánn', username_key = 'ánn' WHERE username = 'robo'")
    for _ in range(2):  # after the upgrade, and after another release has been here
        async with running_service(old.where) as world:
            listed = [one["username"] for one in await world.service.accounts.list_accounts()]
            assert listed == ["ann", "Bob ü", "ánn"]  # both go on
            for name in ("ànn", "\u1d00\u0274\u0274", "\ua4d0\ua4f3\ua4d0 \ua4f4"):
                with expect_api_error(400, 50035) as refused:
                    await world.person(name)
                assert "USERNAME_LOOKS_TAKEN" in str(refused.value.errors)
        change(old, "UPDATE users SET username_skeleton = 'of old'")
        change(old, "UPDATE settings SET value = 'of old' WHERE name = 'name skeletons'")
    async with Store.open(old.where):
        assert old.query("SELECT count(*) FROM users WHERE username_skeleton = 'of old'") == "0"
    change(old, "UPDATE users SET username_skeleton = 'of now'")
    async with Store.open(old.where):  # nothing is done again
        assert old.query("SELECT count(*) FROM users WHERE username_skeleton = 'of now'") == "4"


@pytest.mark.parametrize("old", _EACH, indirect=True)
async def test_a_later_releases_database_is_refused_and_left_alone(old: OldDatabase) -> None:
    async with Store.open(old.where):
        pass
    tables = old.describe(old.where)
    set_version(old, "9999")
    with pytest.raises(StoreTooNew, match=r"its tables are at 9999, .*: upgrade onesocket, or name another one"):
        async with Store.open(old.where):
            pass
    assert old.stored_version() == "9999"
    set_version(old, _LATEST)
    assert old.describe(old.where) == tables


def set_version(old: OldDatabase, version: str) -> None:
    change(old, f"UPDATE alembic_version SET version_num = '{version}'")  # noqa: S608 - the test's own


def change(old: OldDatabase, statement: str) -> None:
    """Run a statement beside any server."""
    if "postgresql" in old.where:
        old.query(statement)
        return
    with sqlite3.connect(old.where) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("old", _EACH, indirect=True)
async def test_a_server_that_is_killed_in_the_middle_leaves_the_old_tables(old: OldDatabase) -> None:
    before = old.describe(old.where)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.onesocket_discord.server.store.upgrade_process", old.where),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(_DEADLINE):
        assert await process.stdout.readline() == b"upgraded, not committed\n"
        assert old.stored_version() == old.version
        process.kill()
        await process.wait()
    async with Store.open(old.where) as store, store.reading() as connection:  # it waits for the other's end
        number = await connection.scalar(select(func.count()).select_from(messages))
    assert number == 5
    assert old.stored_version() == _LATEST
    assert old.describe(old.where) != before


@pytest.mark.parametrize("old", ["postgresql 0004"], indirect=True)
async def test_servers_that_begin_the_upgrade_at_once_do_it_once(old: OldDatabase) -> None:
    both = asyncio.Barrier(3)

    async def count() -> int | None:
        async with Store.open(old.where, shared=True) as store:
            await both.wait()  # all of them are open at the same time
            async with store.reading() as connection:
                return await connection.scalar(select(func.count()).select_from(messages))

    async with asyncio.timeout(_DEADLINE):
        assert set(await asyncio.gather(count(), count(), count())) == {5}
    assert old.stored_version() == _LATEST


def test_a_name_that_is_changed_meanwhile_keeps_the_skeleton_of_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)
    with engine.begin() as connection:

        def rename(name: str) -> str:
            connection.execute(update(users).values(username="bob", username_skeleton="of bob"))
            return f"of {name}"

        connection.execute(insert(users).values(id=1, username="ann", username_key="ann", bot=False))
        monkeypatch.setattr(_migration, "name_skeleton", rename)
        _migration._refresh_skeletons(connection)
        assert connection.scalar(select(users.c.username_skeleton)) == "of bob"
    engine.dispose()
