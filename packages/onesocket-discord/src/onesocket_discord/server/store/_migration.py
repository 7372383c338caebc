"""Brings a database to the tables that this release needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Column, Connection, MetaData, String, Table, bindparam, insert, inspect, select, update
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from onesocket.errors import InvalidOption, UsageError

from .._skeletons import name_skeleton, skeleton_version
from ._tables import METADATA, attachments, bans, guilds, relationships, reports, roles, settings, users
from ._unit_of_work import UnitOfWork

_VERSION: Final = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Holds the version of the tables. Alembic wrote it once, so existing databases have it under this name."""
_FIRST_VERSION: Final = "0001"
_TABLES_OF_0007: Final = (bans, relationships, reports)
_ROLES_OF_0007: Final = (
    "CREATE TABLE roles (id BIGINT NOT NULL, guild_id BIGINT NOT NULL, name VARCHAR(100) NOT NULL, "
    "permissions BIGINT NOT NULL, position INTEGER NOT NULL, color INTEGER NOT NULL, hoist BOOLEAN NOT NULL, "
    "mentionable BOOLEAN NOT NULL, CONSTRAINT pk_roles PRIMARY KEY (id), "
    "CONSTRAINT fk_roles_guild_id FOREIGN KEY(guild_id) REFERENCES guilds (id) ON DELETE CASCADE)"
)
_SKELETONS: Final = "name skeletons"
"""The setting with the version of the skeletons of names that are stored."""
_MODERATOR_OF_0007: Final = {"name": "moderator", "permissions": 2215078999, "hoist": True}
"""How `serve user promote` made its role when that was found by its name."""


def _mark_moderators(connection: Connection) -> None:
    """Fill the column that is new in version 0008: mark what `promote` gave until then, if it is still as it was made.

    One whose permissions were changed, or that stands below another role of this name, isn't: whoever is promoted
    would get rights that nobody meant them to have. The next promotion makes a new role.
    """
    default = select(guilds.c.id).where(guilds.c.is_default)
    columns = (roles.c.id, roles.c.name, roles.c.permissions, roles.c.hoist)
    named = select(*columns).where(roles.c.guild_id.in_(default), roles.c.name == _MODERATOR_OF_0007["name"])
    first = connection.execute(named.order_by(roles.c.position.desc()).limit(1)).one_or_none()
    if first is not None and all(getattr(first, key) == value for key, value in _MODERATOR_OF_0007.items()):
        connection.execute(update(roles).where(roles.c.id == first.id).values(is_moderator=True))


MIGRATIONS: Final[Mapping[str, tuple[str | ExecutableDDLElement | Callable[[Connection], None], ...]]] = {
    "0002": ("ALTER TABLE messages ADD COLUMN forward JSON",),
    "0003": (
        "ALTER TABLE tokens ADD COLUMN last_used_at FLOAT",
        "ALTER TABLE tokens ADD COLUMN client VARCHAR(200)",
    ),
    "0004": (
        "ALTER TABLE guilds ADD COLUMN members_version BIGINT DEFAULT 0 NOT NULL",
        "ALTER TABLE channels ADD COLUMN sequence BIGINT DEFAULT 0 NOT NULL",
        "UPDATE channels SET sequence = COALESCE(last_message_id, 0)",
    ),
    "0005": (
        "ALTER TABLE messages ADD COLUMN attachments JSON",
        CreateTable(attachments),  # the type of its body differs between the two
        *map(CreateIndex, attachments.indexes),
    ),
    "0006": (
        "ALTER TABLE users ADD COLUMN username_skeleton VARCHAR(128) DEFAULT '' NOT NULL",
        "CREATE INDEX ix_users_username_skeleton ON users (username_skeleton)",
        # Acknowledgements of messages that were never there were accepted once.
        (
            "UPDATE read_states SET last_message_id = (SELECT sequence FROM channels WHERE id = channel_id) "
            "WHERE last_message_id > (SELECT sequence FROM channels WHERE id = channel_id)"
        ),
    ),
    "0007": (
        "ALTER TABLE users ADD COLUMN disabled_at FLOAT",
        "ALTER TABLE users ADD COLUMN restricts_dms BOOLEAN DEFAULT false NOT NULL",
        "ALTER TABLE members ADD COLUMN roles JSON",
        _ROLES_OF_0007,
        *map(CreateTable, _TABLES_OF_0007),
        *(CreateIndex(index) for table in (roles, *_TABLES_OF_0007) for index in table.indexes),
    ),
    "0008": (
        "ALTER TABLE roles ADD COLUMN is_moderator BOOLEAN DEFAULT false NOT NULL",
        _mark_moderators,
    ),
    "0009": (CreateTable(settings),),
    "0010": (
        "ALTER TABLE users ADD COLUMN bot_public BOOLEAN DEFAULT true NOT NULL",
        "ALTER TABLE users ADD COLUMN denied_intents INTEGER DEFAULT 0 NOT NULL",
        # The caretaker of the default guild, which owns itself, and bots that were removed.
        "UPDATE users SET bot_public = false WHERE owner_id = id OR (bot AND username LIKE 'deleted user %')",
    ),
}
"""For each later version, in order, the steps that lead to it from the one before, on SQLite and PostgreSQL."""


class StoreTooNew(UsageError):
    """A later release has changed the tables of this database."""


async def write_nothing_new(work: UnitOfWork) -> None:
    """Write the version that is there: an operation that fails where nothing can be written."""
    await work.execute(update(_VERSION).values(version_num=_VERSION.c.version_num))


def upgrade(connection: Connection) -> None:
    """Create the tables, or run the missing migrations, inside the transaction of `connection`.

    Skeletons of names that another release has stored are made anew.

    Raises `StoreTooNew` for a database of a later release, `InvalidOption` for one of another program.
    """
    tables = inspect(connection).get_table_names()
    version = connection.scalar(select(_VERSION.c.version_num)) if _VERSION.name in tables else None
    versions = (_FIRST_VERSION, *MIGRATIONS)
    if version is None and tables:
        raise InvalidOption("this database holds the tables of another program; name another one")
    if version is None:
        METADATA.create_all(connection)
        _VERSION.create(connection)
        connection.execute(insert(_VERSION).values(version_num=versions[-1]))
    elif version not in versions:
        raise StoreTooNew(
            f"this database was changed by a later release of onesocket (its tables are at {version}, which this one "
            "doesn't know): upgrade onesocket, or name another one"
        )
    else:
        for later in versions[versions.index(version) + 1 :]:
            for step in MIGRATIONS[later]:
                if isinstance(step, str):
                    connection.exec_driver_sql(step)
                elif isinstance(step, ExecutableDDLElement):
                    connection.execute(step)
                else:
                    step(connection)
        connection.execute(update(_VERSION).values(version_num=versions[-1]))
    _refresh_skeletons(connection)


def _refresh_skeletons(connection: Connection) -> None:
    """Store the skeletons of all names, unless this release's are there. Accounts that look alike by them stay."""
    this, wanted = settings.c.name == _SKELETONS, skeleton_version()
    stored = connection.scalar(select(settings.c.value).where(this))
    if stored == wanted:
        return
    rows = connection.execute(select(users.c.id, users.c.username, users.c.username_skeleton)).all()
    made = [(row, name_skeleton(row.username)) for row in rows]
    changed = [
        {"of": row.id, "named": row.username, "skeleton": skeleton}
        for row, skeleton in made
        if skeleton != row.username_skeleton
    ]
    if changed:
        # Another server of the cluster may rename an account meanwhile, and stores the new name's skeleton itself.
        one = update(users).where(users.c.id == bindparam("of"), users.c.username == bindparam("named"))
        connection.execute(one.values(username_skeleton=bindparam("skeleton")), changed)
    if stored is None:
        connection.execute(insert(settings).values(name=_SKELETONS, value=wanted))
    else:
        connection.execute(update(settings).where(this).values(value=wanted))
