"""Accounts of people and bots: names, passwords, and the tokens of bots."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...protocol._intents import Intents
from .._api_error import ApiError, field_error, invalid_field, invalid_form
from .._field_reader import FieldReader
from .._names import name_key, name_problem, removed_name
from .._password_rules import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, password_problem
from .._ports import Account, Json, token_digest
from .._skeletons import name_skeleton
from ..store import UnitOfWork
from ..store._tables import bans, guilds, invites, members, tokens, users
from . import _serialization as serialize
from ._access import find_user
from ._invites import count_use, find_invite
from ._logins import LoginService, account_from_row
from ._membership import join_guild, leave_guild
from ._passwords import PasswordService
from ._permissions import roles_of
from ._service_context import Service, ServiceContext, transaction

Registration = Literal["open", "invite", "closed"]
"""The people who may make an account: all, those with an invite, or none but the server's owner."""


class AccountService(Service):
    """Registers, signs in and out, changes and removes accounts."""

    def __init__(
        self,
        context: ServiceContext,
        passwords: PasswordService,
        logins: LoginService,
        default_guild: int,
        registration: Registration = "open",
    ) -> None:
        super().__init__(context)
        self._passwords = passwords
        self._logins = logins
        self._default_guild = default_guild
        self.registration: Registration = registration
        """Rule for new accounts: open to everybody, by invite, or closed."""

    # --- people -----------------------------------------------------------------------------------------------------

    async def register(self, body: Json, client: str = "") -> Json:
        """Create a person's account from ``username`` and ``password``; returns ``token`` and ``user_id``.

        ``invite``: the code of an invite, whose guild is entered at once. `ApiError` (40006) if registration is closed.
        """
        if self.registration == "closed":
            raise ApiError(403, 40006, "This server takes no new accounts. Ask its owner for one.")
        fields = FieldReader(body)
        name = _username(fields)
        password = _new_password(fields, "password", name)
        code = fields.text("invite", most=64) or None
        if code is None and self.registration == "invite":
            fields.add_error("invite", "INVITE_REQUIRED", "This server takes new accounts by invite only.")
        fields.check()
        async with self.reading() as connection:  # what is refused anyway costs no hash
            await _check_username_free(connection, name)
            if code is not None:
                await self._invited_to(connection, code)
        return await self._register(name, await self._passwords.hash(password), client, code)

    async def add_person(self, name: str, password: str, *, signs_in: bool = True) -> Json:
        """Register a person for the server's owner, whoever else may: with a reserved name too, without an invite.

        `signs_in`: whether a token is made, as `register` does.
        """
        fields = FieldReader({"username": name, "password": password})
        name = _username(fields, by_owner=True)
        password = _new_password(fields, "password", name)
        fields.check()
        password_hash = await self._passwords.hash(password)
        return await self._register(name, password_hash, "" if signs_in else None, None)

    async def _invited_to(self, connection: AsyncConnection, code: str) -> int:
        """The guild of an invite; one of somebody who is banned from the server's guild would lead back there."""
        try:
            row = await find_invite(self._context, connection, code)
        except ApiError:
            raise _invalid_invite() from None
        banned = (bans.c.guild_id == self._default_guild) & (bans.c.user_id == row.inviter_id)
        if await connection.scalar(select(bans.c.user_id).where(banned)) is not None:
            raise _invalid_invite()
        return int(row.guild_id)

    @transaction
    async def _register(
        self, work: UnitOfWork, name: str, password_hash: str, client: str | None, invite: str | None
    ) -> Json:
        account = await self._add(work, name, bot=False, password_hash=password_hash)
        if invite is not None:  # again, in the transaction that counts its use
            await join_guild(self._context, work, account, await self._invited_to(work.connection, invite))
            await count_use(work, invite)
        # The first person becomes the owner of the default guild.
        guild = (await work.execute(select(guilds).where(guilds.c.id == self._default_guild))).one_or_none()
        if guild is not None and _is_caretaker(await find_user(work.connection, guild.owner_id)):
            await self._hand_over(work, guild, account.user_id)
        await self._enter(work, account)
        return {"user_id": str(account.user_id)} if client is None else await self._issue(work, account, client)

    async def login(self, body: Json, client: str = "") -> Json:
        """Sign in with ``login`` (the name) and ``password``; returns ``token`` and ``user_id``."""
        fields = FieldReader(body)
        name = fields.text("login", most=64, required=True) or ""
        password = fields.text("password", most=256, required=True) or ""
        fields.check()
        row = await self._find(name)
        if not await self._passwords.verify(None if row is None else row.password_hash, password) or row is None:
            raise _invalid_login()
        return await self.write(lambda work: self._issue_to(work, row, client))

    async def logout(self, account: Account, token: str) -> None:
        """End the login of this token, and close its connections."""
        await self._logins.void(account.user_id, {token_digest(token)})

    async def change_password(self, account: Account, body: Json, client: str = "") -> str:
        """Change the account's own password, end all of its logins, and return a new token."""
        fields = FieldReader(body)
        old = fields.text("password", most=256, required=True) or ""
        new = _new_password(fields, "new_password", account.username)
        fields.check()
        async with self.reading() as connection:
            row = await find_user(connection, account.user_id)
        if not await self._passwords.verify(row.password_hash, old):
            raise _other_password()
        return await self._set_password(account, await self._passwords.hash(new), client, known=row.password_hash)

    async def set_password(self, name: str, password: str) -> None:
        """Set a person's password for the server's owner, and end all of that person's logins."""
        fields = FieldReader({"password": password})
        _new_password(fields, "password", name)
        fields.check()
        row = await self._find(name)
        if row is None or row.bot:
            raise _unknown_user(name)
        await self._set_password(account_from_row(row), await self._passwords.hash(password))

    @transaction
    async def _set_password(
        self,
        work: UnitOfWork,
        account: Account,
        password_hash: str,
        client: str | None = None,
        *,
        known: str | None = None,
    ) -> str:
        """Set a password and end all logins. `known`: the hash that was verified, and has to be the current one yet."""
        mine = users.c.id == account.user_id
        this = mine if known is None else mine & (users.c.password_hash == known)
        if not (await work.execute(update(users).where(this).values(password_hash=password_hash))).rowcount:
            raise _other_password()
        await self._logins.void_within(work, account.user_id)
        return "" if client is None else await self._logins.issue(work, account, client)

    async def list_accounts(self) -> list[Json]:
        """List all accounts for the server's owner, with ``id``, ``username``, ``bot`` and the number of ``logins``."""
        count = func.count(tokens.c.hash)
        every = select(users, count.label("logins")).outerjoin(tokens).group_by(users.c.id).order_by(users.c.id)
        async with self.reading() as connection:
            rows = (await connection.execute(every)).all()
        return [
            {
                "id": str(row.id),
                "username": row.username,
                "bot": row.bot,
                "logins": row.logins,
                "banned": row.disabled_at is not None,
            }
            for row in rows
            if not _is_caretaker(row) and row.username != removed_name(row.id)
        ]

    async def set_banned(self, name: str, *, banned: bool) -> None:
        """Ban an account from the server for its owner: it is signed out, and can't sign in; or lift that.

        It stays in its guilds, and its messages stay. The invites that it made are void.
        """
        row = await self._find(name)
        if row is None or _is_caretaker(row):
            raise _unknown_user(name)
        await self._set_banned(row.id, banned)

    @transaction
    async def _set_banned(self, work: UnitOfWork, user_id: int, banned: bool) -> None:  # noqa: FBT001 - one caller
        at = self._context.ids.now() if banned else None
        await work.execute(update(users).where(users.c.id == user_id).values(disabled_at=at))
        if banned:
            await self._logins.void_within(work, user_id)
            await work.execute(delete(invites).where(invites.c.inviter_id == user_id))

    async def user_id_of(self, name: str) -> int:
        """The id of a person or a bot, for the server's owner. `ApiError` (50035) if there is none."""
        row = await self._find(name)
        if row is None:
            raise _unknown_user(name)
        return int(row.id)

    async def person_id_of(self, name: str) -> int:
        """The id of a person, for the server's owner. `ApiError` (50035) if there is none, or it is a bot."""
        row = await self._find(name)
        if row is None or row.bot:  # a bot that owned itself would be taken for the caretaker
            raise invalid_field("owner", "OWNER_UNKNOWN", f"There is no person called {name!r}.")
        return int(row.id)

    async def remove(self, name: str, *, only_bot: bool = False) -> None:
        """Remove a person or a bot for the server's owner: end its logins and memberships, and free its name.

        Messages stay. A guild that the account owns goes to its oldest member.
        """
        row = await self._find(name)
        if row is None or _is_caretaker(row) or (only_bot and not row.bot):
            raise _unknown_bot(name) if only_bot else _unknown_user(name)
        await self._remove(row)

    @transaction
    async def _remove(self, work: UnitOfWork, row: Row[Any]) -> None:
        await self._logins.void_within(work, row.id)
        await work.execute(delete(invites).where(invites.c.inviter_id == row.id))  # they let nobody in any more
        joined = await work.scalars(select(members.c.guild_id).where(members.c.user_id == row.id))
        for guild_id in joined.all():
            await leave_guild(self._context, work, serialize.user_from_row(row), guild_id)
        caretaker = select(users.c.id).where(users.c.bot, users.c.owner_id == users.c.id).limit(1)
        for guild in (await work.execute(select(guilds).where(guilds.c.owner_id == row.id))).all():
            people = select(members.c.user_id).join(users).where(members.c.guild_id == guild.id, ~users.c.bot)
            oldest = await work.scalar(people.order_by(members.c.joined_at, members.c.user_id).limit(1))
            await self._hand_over(work, guild, oldest or await work.scalar(caretaker))
        gone = {"password_hash": None, "disabled_at": None, "bot_public": False, "owner_id": None}
        values = {**_name_columns(removed_name(row.id)), **gone}
        await work.execute(update(users).where(users.c.id == row.id).values(values))

    async def rename(self, account: Account, body: Json) -> Json:
        """Change the account's own ``username``; returns the user."""
        fields = FieldReader(body)
        name = _username(fields) if "username" in fields else account.username
        fields.check()
        if name == account.username:
            return serialize.current_user(account)
        return await self._rename(dataclasses.replace(account, username=name))

    @transaction
    async def _rename(self, work: UnitOfWork, account: Account) -> Json:
        user_id, name = account.user_id, account.username
        await _check_username_free(work.connection, name, besides=user_id)
        await work.execute(update(users).where(users.c.id == user_id).values(_name_columns(name)))
        work.after_commit(lambda: self._logins.forget(user_id))
        self._context.account_changed(work, user_id)
        mine = serialize.current_user(account)
        self._context.publish(work, "USER_UPDATE", mine, frozenset({user_id}))
        user = serialize.user_from_account(account)
        for row in (await work.execute(select(members).where(members.c.user_id == user_id))).all():
            data = {"guild_id": str(row.guild_id), **serialize.member(row, user)}
            await self._context.publish_to_guild(work, row.guild_id, "GUILD_MEMBER_UPDATE", data, Intents.GUILD_MEMBERS)
        return mine

    # --- bots -------------------------------------------------------------------------------------------------------

    @transaction
    async def create_bot(
        self, work: UnitOfWork, name: str, *, owner: int | None = None, public: bool = True, denied_intents: int = 0
    ) -> tuple[str, int]:
        """Make a bot in the default guild: its token (shown this once) and its id. `ApiError` for an invalid name.

        `public`: members with MANAGE_GUILD may add it to their guilds; else its owner alone. `denied_intents`:
        privileged intents that it may not use.
        """
        fields = FieldReader({"username": name})
        name = _username(fields, by_owner=True)
        fields.check()
        if owner is not None:
            await find_user(work.connection, owner)
        settings = {"bot_public": public, "denied_intents": denied_intents & Intents.PRIVILEGED}
        account = await self._add(work, name, bot=True, owner_id=owner, **settings)
        await self._enter(work, account)
        return await self._logins.issue(work, account), account.user_id

    @transaction
    async def renew_bot_token(self, work: UnitOfWork, name: str) -> tuple[str, int]:
        """Give a bot a new token and void the old one: the token and the bot's id. `ApiError` if there is none."""
        # The caretaker of the default guild, which owns itself, signs in nowhere.
        usable = users.c.bot & (users.c.owner_id.is_(None) | (users.c.owner_id != users.c.id))
        wanted = select(users).where(users.c.username_key == name_key(name), usable)
        row = (await work.execute(wanted)).one_or_none()
        if row is None:
            raise _unknown_bot(name)
        await self._logins.void_within(work, row.id)
        return await self._logins.issue(work, account_from_row(row)), row.id

    # --- users -------------------------------------------------------------------------------------

    async def user(self, user_id: int) -> Json:
        """The user with this id."""
        async with self.reading() as connection:
            return serialize.user_from_row(await find_user(connection, user_id))

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _find(self, name: str) -> Row[Any] | None:
        async with self.reading() as connection:
            return (await connection.execute(select(users).where(users.c.username_key == name_key(name)))).one_or_none()

    async def _issue_to(self, work: UnitOfWork, row: Row[Any], client: str) -> Json:
        """Issue a token to a person whose password was verified; it may have been changed since."""
        if await work.scalar(select(users.c.password_hash).where(users.c.id == row.id)) != row.password_hash:
            raise _invalid_login()
        return await self._issue(work, account_from_row(row), client)

    async def _issue(self, work: UnitOfWork, account: Account, client: str) -> Json:
        return {"token": await self._logins.issue(work, account, client), "user_id": str(account.user_id)}

    async def _hand_over(self, work: UnitOfWork, guild: Row[Any], owner_id: int | None) -> None:
        await work.execute(update(guilds).where(guilds.c.id == guild.id).values(owner_id=owner_id))
        roles = (await roles_of(work.connection, [guild.id]))[guild.id]
        data = {**serialize.guild(guild, roles), "owner_id": str(owner_id)}
        await self._context.publish_to_guild(work, guild.id, "GUILD_UPDATE", data, Intents.GUILDS)

    async def _add(self, work: UnitOfWork, name: str, *, bot: bool, **values: Any) -> Account:
        await _check_username_free(work.connection, name)
        account = Account(self._context.ids.next(), name, bot)
        row = {"id": account.user_id, **_name_columns(name), "bot": bot, **values}
        await work.execute(insert(users).values(row))
        return account

    async def _enter(self, work: UnitOfWork, account: Account) -> None:
        there = await work.scalar(select(guilds.c.id).where(guilds.c.id == self._default_guild))
        if there is not None:
            await join_guild(self._context, work, account, there)


def _username(fields: FieldReader, *, by_owner: bool = False) -> str:
    name = fields.text("username", least=2, most=32, required=True) or ""
    problem = name_problem(name, by_owner=by_owner) if name else None
    if problem is not None:
        fields.add_error("username", *problem)
    return name


def _new_password(fields: FieldReader, field: str, username: str) -> str:
    password = fields.text(field, least=MIN_PASSWORD_LENGTH, most=MAX_PASSWORD_LENGTH, required=True) or ""
    problem = password_problem(password, username) if password else None
    if problem is not None:
        fields.add_error(field, *problem)
    return password


def _name_columns(name: str) -> Json:
    return {"username": name, "username_key": name_key(name), "username_skeleton": name_skeleton(name)}


async def _check_username_free(connection: AsyncConnection, name: str, besides: int | None = None) -> None:
    same = (users.c.username_key == name_key(name)) | (users.c.username_skeleton == name_skeleton(name))
    others = (await connection.execute(select(users.c.username_key).where(same, users.c.id != (besides or 0)))).all()
    if any(row.username_key == name_key(name) for row in others):
        raise invalid_field("username", "USERNAME_ALREADY_TAKEN", "Username is unavailable. Try another one.")
    if others:
        raise invalid_field(
            "username", "USERNAME_LOOKS_TAKEN", "Looks like the name of somebody else. Try another one."
        )


def _is_caretaker(row: Row[Any]) -> bool:
    """Return True for the user that owns the default guild until somebody registers; it can't sign in."""
    return bool(row.bot) and row.owner_id == row.id


def _invalid_invite() -> ApiError:
    return invalid_field("invite", "INVITE_INVALID", "This invite is not valid, or has expired.")


def _invalid_login() -> ApiError:
    wrong = field_error("INVALID_LOGIN", "Login or password is invalid.")
    return invalid_form({"login": wrong, "password": wrong})


def _other_password() -> ApiError:
    return invalid_field("password", "PASSWORD_DOES_NOT_MATCH", "Password does not match.")


def _unknown_user(name: str) -> ApiError:
    return invalid_field("name", "USER_UNKNOWN", f"There is no user called {name!r}.")


def _unknown_bot(name: str) -> ApiError:
    return invalid_field("name", "BOT_UNKNOWN", f"There is no bot called {name!r}.")
