"""Application commands: stored, but not executed by this server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from .._api_error import ApiError, field_error, invalid_form, unknown_resource
from .._field_reader import FieldReader, as_list, as_object
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import commands
from ._access import member_guild
from ._service_context import Service, transaction

_MAX_COMMANDS = 130
"""Of one application in one place: 100 slash commands and 15 of each other kind, as with Discord."""
_TYPES = (1, 2, 3, 4)
_STORED_FIELDS: tuple[tuple[str, Any], ...] = (
    ("name_localizations", None),
    ("description", ""),
    ("description_localizations", None),
    ("options", []),
    ("default_member_permissions", None),
    ("dm_permission", True),
    ("contexts", None),
    ("integration_types", [0]),
    ("nsfw", False),
    ("handler", None),
)


class CommandService(Service):
    """The commands of one's own application, everywhere or in one guild."""

    async def all(self, account: Account, application_id: int, guild_id: int | None) -> list[Json]:
        """The application's commands in the order of ids."""
        _check_own(account, application_id)
        async with self.reading() as connection:
            if guild_id is not None:
                await member_guild(connection, account, guild_id)
            found = await connection.execute(select(commands).where(*_scope(account, guild_id)).order_by(commands.c.id))
            return [_command_object(row) for row in found.all()]

    async def get(self, account: Account, application_id: int, guild_id: int | None, command_id: int) -> Json:
        """One command, or `ApiError` (10063)."""
        for command in await self.all(account, application_id, guild_id):
            if command["id"] == str(command_id):
                return command
        raise unknown_resource("application command")

    @transaction
    async def put(
        self, work: UnitOfWork, account: Account, application_id: int, guild_id: int | None, body: Json
    ) -> tuple[Json, bool]:
        """Add a command, or replace the one of the same name and type; and whether it is new."""
        _check_own(account, application_id)
        wanted = _checked_command(body)
        await self._check_guild(work, account, guild_id)
        before = {(row.type, row.name): row for row in await self._rows(work, account, guild_id)}
        old = before.get((wanted["type"], wanted["name"]))
        if old is None and len(before) >= _MAX_COMMANDS:
            raise ApiError(400, 30032, f"Maximum number of application commands reached ({_MAX_COMMANDS})")
        return _command_object(await self._store(work, account, guild_id, wanted, old)), old is None

    @transaction
    async def replace(
        self, work: UnitOfWork, account: Account, application_id: int, guild_id: int | None, body: Any
    ) -> list[Json]:
        """Make these the only commands; one that was there keeps its id."""
        _check_own(account, application_id)
        sent = as_list(body)
        if sent is None:
            raise invalid_form(field_error("LIST_TYPE_CONVERT", "Only iterables may be used in a ListType"))
        if len(sent) > _MAX_COMMANDS:
            raise ApiError(400, 30032, f"Maximum number of application commands reached ({_MAX_COMMANDS})")
        wanted = {(one["type"], one["name"]): one for one in map(_checked_command, sent)}
        await self._check_guild(work, account, guild_id)
        before = {(row.type, row.name): row for row in await self._rows(work, account, guild_id)}
        gone = [row.id for key, row in before.items() if key not in wanted]
        await work.execute(delete(commands).where(commands.c.id.in_(gone)))
        return [
            _command_object(await self._store(work, account, guild_id, one, before.get(key)))
            for key, one in wanted.items()
        ]

    @transaction
    async def edit(
        self,
        work: UnitOfWork,
        account: Account,
        application_id: int,
        guild_id: int | None,
        command_id: int,
        *,
        body: Json,
    ) -> Json:
        """Change some of a command's fields."""
        _check_own(account, application_id)
        FieldReader(body)
        row = await self._row(work, account, guild_id, command_id)
        wanted = _checked_command({**row.body, "name": row.name, **body, "type": row.type})
        return _command_object(await self._store(work, account, guild_id, wanted, row))

    @transaction
    async def delete(
        self, work: UnitOfWork, account: Account, application_id: int, guild_id: int | None, command_id: int
    ) -> None:
        """Delete a command."""
        _check_own(account, application_id)
        await self._row(work, account, guild_id, command_id)
        await work.execute(delete(commands).where(commands.c.id == command_id))

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _check_guild(self, work: UnitOfWork, account: Account, guild_id: int | None) -> None:
        if guild_id is not None:
            await member_guild(work.connection, account, guild_id)

    async def _rows(self, work: UnitOfWork, account: Account, guild_id: int | None) -> list[Row[Any]]:
        return list((await work.execute(select(commands).where(*_scope(account, guild_id)))).all())

    async def _row(self, work: UnitOfWork, account: Account, guild_id: int | None, command_id: int) -> Row[Any]:
        await self._check_guild(work, account, guild_id)
        for row in await self._rows(work, account, guild_id):
            if row.id == command_id:
                return row
        raise unknown_resource("application command")

    async def _store(
        self, work: UnitOfWork, account: Account, guild_id: int | None, wanted: Json, old: Row[Any] | None
    ) -> Row[Any]:
        new = self._context.ids.next()
        values = {"name": wanted["name"], "version": new, "body": wanted}
        if old is None:
            at = {"application_id": account.user_id, "guild_id": guild_id or 0, "type": wanted["type"]}
            added = insert(commands).values(id=new, **at, **values).returning(*commands.c)
            return (await work.execute(added)).one()
        changed = update(commands).where(commands.c.id == old.id).values(values).returning(*commands.c)
        return (await work.execute(changed)).one()


def _check_own(account: Account, application_id: int) -> None:
    if not account.bot or application_id != account.user_id:
        raise ApiError(403, 20012, "You are not authorized to perform this action on this application")


def _scope(account: Account, guild_id: int | None) -> tuple[Any, ...]:
    return commands.c.application_id == account.user_id, commands.c.guild_id == (guild_id or 0)


def _checked_command(body: object) -> Json:
    fields = FieldReader(body)
    name = fields.title("name", most=32, required=True)
    kind = fields.one_of("type", _TYPES, 1)
    fields.text("description", most=100)
    fields.objects("options", most=25)
    fields.check()
    sent = as_object(body) or {}
    return {"name": name, "type": kind, **{key: sent.get(key, default) for key, default in _STORED_FIELDS}}


def _command_object(row: Row[Any]) -> Json:
    body = {
        "id": str(row.id),
        "application_id": str(row.application_id),
        "version": str(row.version),
        **row.body,
        "type": row.type,
        "name": row.name,
    }
    return {**body, "guild_id": str(row.guild_id)} if row.guild_id else body
