"""Application commands: accepted and kept. Nobody can call them here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from ..form import Form, as_list, as_object
from ..ports import Account, Json
from ..refusal import Refused, fault, invalid_form, unknown
from ..store import Work
from ..store.tables import commands
from .access import my_guild
from .world import World

_MOST = 130
"""Of one application in one place: 100 slash commands and 15 of each other kind, as with Discord."""
_TYPES = (1, 2, 3, 4)
_KEPT: tuple[tuple[str, Any], ...] = (
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


class Commands:
    """The commands of one's own application, everywhere or in one guild."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def all(self, account: Account, application_id: int, guild_id: int | None) -> list[Json]:
        """The application's commands in the order of ids."""
        _own(account, application_id)
        async with self._world.store.reading() as connection:
            if guild_id is not None:
                await my_guild(connection, account, guild_id)
            found = await connection.execute(select(commands).where(*_at(account, guild_id)).order_by(commands.c.id))
            return [_shape(row) for row in found.all()]

    async def get(self, account: Account, application_id: int, guild_id: int | None, command_id: int) -> Json:
        """One command, or `Refused` (10063)."""
        for command in await self.all(account, application_id, guild_id):
            if command["id"] == str(command_id):
                return command
        raise unknown("application command")

    async def put(self, account: Account, application_id: int, guild_id: int | None, body: Json) -> tuple[Json, bool]:
        """Add a command, or replace the one of the same name and type; and whether it is new."""
        _own(account, application_id)
        wanted = _checked(body)

        async def operation(work: Work) -> tuple[Json, bool]:
            await self._check_guild(work, account, guild_id)
            before = {(row.type, row.name): row for row in await self._rows(work, account, guild_id)}
            old = before.get((wanted["type"], wanted["name"]))
            if old is None and len(before) >= _MOST:
                raise Refused(400, 30032, f"Maximum number of application commands reached ({_MOST})")
            return _shape(await self._store(work, account, guild_id, wanted, old)), old is None

        return await self._world.store.write(operation)

    async def replace(self, account: Account, application_id: int, guild_id: int | None, bodies: Any) -> list[Json]:
        """Make these the only commands; one that was there keeps its id."""
        _own(account, application_id)
        sent = as_list(bodies)
        if sent is None:
            raise invalid_form(fault("LIST_TYPE_CONVERT", "Only iterables may be used in a ListType"))
        if len(sent) > _MOST:
            raise Refused(400, 30032, f"Maximum number of application commands reached ({_MOST})")
        wanted = {(one["type"], one["name"]): one for one in map(_checked, sent)}

        async def operation(work: Work) -> list[Json]:
            await self._check_guild(work, account, guild_id)
            before = {(row.type, row.name): row for row in await self._rows(work, account, guild_id)}
            gone = [row.id for key, row in before.items() if key not in wanted]
            await work.connection.execute(delete(commands).where(commands.c.id.in_(gone)))
            return [
                _shape(await self._store(work, account, guild_id, one, before.get(key))) for key, one in wanted.items()
            ]

        return await self._world.store.write(operation)

    async def edit(
        self, account: Account, application_id: int, guild_id: int | None, command_id: int, body: Json
    ) -> Json:
        """Change some of a command's fields."""
        _own(account, application_id)
        Form(body)

        async def operation(work: Work) -> Json:
            row = await self._row(work, account, guild_id, command_id)
            wanted = _checked({**row.body, "name": row.name, **body, "type": row.type})
            return _shape(await self._store(work, account, guild_id, wanted, row))

        return await self._world.store.write(operation)

    async def delete(self, account: Account, application_id: int, guild_id: int | None, command_id: int) -> None:
        """Delete a command."""
        _own(account, application_id)

        async def operation(work: Work) -> None:
            await self._row(work, account, guild_id, command_id)
            await work.connection.execute(delete(commands).where(commands.c.id == command_id))

        await self._world.store.write(operation)

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _check_guild(self, work: Work, account: Account, guild_id: int | None) -> None:
        if guild_id is not None:
            await my_guild(work.connection, account, guild_id)

    async def _rows(self, work: Work, account: Account, guild_id: int | None) -> list[Row[Any]]:
        return list((await work.connection.execute(select(commands).where(*_at(account, guild_id)))).all())

    async def _row(self, work: Work, account: Account, guild_id: int | None, command_id: int) -> Row[Any]:
        await self._check_guild(work, account, guild_id)
        for row in await self._rows(work, account, guild_id):
            if row.id == command_id:
                return row
        raise unknown("application command")

    async def _store(
        self, work: Work, account: Account, guild_id: int | None, wanted: Json, old: Row[Any] | None
    ) -> Row[Any]:
        new = self._world.ids.next()
        values = {"name": wanted["name"], "version": new, "body": wanted}
        if old is None:
            at = {"application_id": account.user_id, "guild_id": guild_id or 0, "type": wanted["type"]}
            added = insert(commands).values(id=new, **at, **values).returning(*commands.c)
            return (await work.connection.execute(added)).one()
        changed = update(commands).where(commands.c.id == old.id).values(values).returning(*commands.c)
        return (await work.connection.execute(changed)).one()


def _own(account: Account, application_id: int) -> None:
    if not account.bot or application_id != account.user_id:
        raise Refused(403, 20012, "You are not authorized to perform this action on this application")


def _at(account: Account, guild_id: int | None) -> tuple[Any, ...]:
    return commands.c.application_id == account.user_id, commands.c.guild_id == (guild_id or 0)


def _checked(body: object) -> Json:
    form = Form(body)
    name = form.text("name", least=1, most=32, required=True)
    kind = form.one_of("type", _TYPES, 1)
    form.text("description", most=100)
    form.objects("options", most=25)
    form.check()
    sent = as_object(body) or {}
    return {"name": name, "type": kind, **{key: sent.get(key, default) for key, default in _KEPT}}


def _shape(row: Row[Any]) -> Json:
    body = {
        "id": str(row.id),
        "application_id": str(row.application_id),
        "version": str(row.version),
        **row.body,
        "type": row.type,
        "name": row.name,
    }
    return {**body, "guild_id": str(row.guild_id)} if row.guild_id else body
