"""People and bots: who they are, and how they prove it."""

from __future__ import annotations

import base64
import hashlib
import secrets
import unicodedata
from collections import OrderedDict
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..form import Form
from ..ports import Account, Json
from ..refusal import Refused, fault, invalid_field, invalid_form
from ..store import Work
from ..store.tables import guilds, members, tokens, users
from . import shapes
from .access import some_user
from .intents import GUILD_MEMBERS, GUILDS
from .membership import join
from .passwords import Passwords
from .world import World

_REMEMBERED = 4096
_FORBIDDEN = frozenset("@#:`")


class Accounts:
    """Register, sign in and out; the keys of bots."""

    def __init__(self, world: World, passwords: Passwords, default_guild: int) -> None:
        self._world = world
        self._passwords = passwords
        self._default_guild = default_guild
        self._known: OrderedDict[bytes, Account] = OrderedDict()
        self._voided = 0

    def __repr__(self) -> str:
        return f"<Accounts {len(self._known)} remembered>"

    async def authenticate(self, token: str) -> Account | None:
        """Whose token it is; None: nobody's."""
        digest = _digest(token)
        known = self._known.get(digest)
        if known is not None:
            self._known.move_to_end(digest)
            return known
        voided = self._voided
        async with self._world.store.reading() as connection:
            found = await connection.execute(select(users).join(tokens).where(tokens.c.hash == digest))
            row = found.one_or_none()
        if row is None:
            return None
        account = _account(row)
        if voided == self._voided:  # or what was read may be what somebody has just signed out of
            self._known[digest] = account
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return account

    # --- people -----------------------------------------------------------------------------------------------------

    async def register(self, body: Json) -> Json:
        """Make an account for a person from ``username`` and ``password``: ``{"token", "user_id"}``."""
        form = Form(body)
        name = _username(form)
        password = form.text("password", least=8, most=256, required=True) or ""
        form.check()
        hashed = await self._passwords.hash(password)

        async def operation(work: Work) -> Json:
            account = await self._add(work, name, bot=False, password_hash=hashed)
            # The first person takes over the default guild: somebody has to moderate it.
            guild = (
                await work.connection.execute(select(guilds).where(guilds.c.id == self._default_guild))
            ).one_or_none()
            if guild is not None and await _is_caretaker(work.connection, guild.owner_id):
                await work.connection.execute(
                    update(guilds).where(guilds.c.id == guild.id).values(owner_id=account.user_id)
                )
                data = {**shapes.guild(guild), "owner_id": str(account.user_id)}
                self._world.tell(
                    work, "GUILD_UPDATE", data, await self._world.audience.of(work, guild.id), intents=GUILDS
                )
            await self._enter(work, account)
            return {"token": await self._issue(work, account), "user_id": str(account.user_id)}

        return await self._world.store.write(operation)

    async def login(self, body: Json) -> Json:
        """Sign in with ``login`` (the name) and ``password``: ``{"token", "user_id"}``."""
        form = Form(body)
        name = form.text("login", most=64, required=True) or ""
        password = form.text("password", most=256, required=True) or ""
        form.check()
        async with self._world.store.reading() as connection:
            found = await connection.execute(select(users).where(users.c.username_key == name_key(name)))
            row = found.one_or_none()
        if not await self._passwords.fits(None if row is None else row.password_hash, password) or row is None:
            wrong = fault("INVALID_LOGIN", "Login or password is invalid.")
            raise invalid_form({"login": wrong, "password": wrong})

        async def operation(work: Work) -> Json:
            return {"token": await self._issue(work, _account(row)), "user_id": str(row.id)}

        return await self._world.store.write(operation)

    async def logout(self, token: str) -> None:
        """Make this token void; with the last one the user's sessions end too."""
        digest = _digest(token)

        async def operation(work: Work) -> None:
            owner = await work.connection.scalar(select(tokens.c.user_id).where(tokens.c.hash == digest))
            if owner is None:
                return
            await work.connection.execute(delete(tokens).where(tokens.c.hash == digest))
            work.after_commit(lambda: self._forget(owner))
            left = await work.connection.scalar(select(func.count()).where(tokens.c.user_id == owner))
            if not left:
                work.after_commit(lambda: self._world.publisher.sign_out(owner))

        await self._world.store.write(operation)

    async def rename(self, account: Account, body: Json) -> Json:
        """Change one's own ``username``; returns the user."""
        form = Form(body)
        name = _username(form) if "username" in form else account.username
        form.check()
        renamed = Account(account.user_id, name, account.bot)

        async def operation(work: Work) -> Json:
            await _must_be_free(work.connection, name, besides=account.user_id)
            changes = update(users).where(users.c.id == account.user_id)
            await work.connection.execute(changes.values(username=name, username_key=name_key(name)))
            work.after_commit(lambda: self._forget(account.user_id))
            mine = shapes.myself(renamed)
            self._world.tell(work, "USER_UPDATE", mine, frozenset({account.user_id}))
            places = await work.connection.execute(select(members).where(members.c.user_id == account.user_id))
            for at in places.all():
                data = {"guild_id": str(at.guild_id), **shapes.member(at.joined_at, shapes.author(renamed))}
                audience = await self._world.audience.of(work, at.guild_id)
                self._world.tell(work, "GUILD_MEMBER_UPDATE", data, audience, intents=GUILD_MEMBERS)
            return mine

        return shapes.myself(account) if name == account.username else await self._world.store.write(operation)

    # --- bots -------------------------------------------------------------------------------------------------------

    async def create_bot(self, name: str, *, owner: int | None = None) -> tuple[str, int]:
        """Make a bot in the default guild: its token (shown this once) and its id. `Refused` if the name can't be."""
        form = Form({"username": name})
        name = _username(form)
        form.check()

        async def operation(work: Work) -> tuple[str, int]:
            if owner is not None:
                await some_user(work.connection, owner)
            account = await self._add(work, name, bot=True, owner_id=owner)
            await self._enter(work, account)
            return await self._issue(work, account), account.user_id

        return await self._world.store.write(operation)

    async def renew_bot_token(self, name: str) -> tuple[str, int]:
        """Give a bot a new token and void the old one: the token and the bot's id. `Refused` if there is none."""

        async def operation(work: Work) -> tuple[str, int]:
            wanted = select(users).where(users.c.username_key == name_key(name), users.c.bot)
            row = (await work.connection.execute(wanted)).one_or_none()
            if row is None:
                raise invalid_field("name", "BOT_UNKNOWN", f"There is no bot called {name!r}.")
            await work.connection.execute(delete(tokens).where(tokens.c.user_id == row.id))
            work.after_commit(lambda: self._forget(row.id))
            work.after_commit(lambda: self._world.publisher.sign_out(row.id))
            return await self._issue(work, _account(row)), row.id

        return await self._world.store.write(operation)

    # --- who is who -------------------------------------------------------------------------------------------------

    async def user(self, user_id: int) -> Json:
        """Anybody, by id."""
        async with self._world.store.reading() as connection:
            return shapes.user_of(await some_user(connection, user_id))

    async def application(self, account: Account) -> Json:
        """The bot's application. `Refused` for people: they have none."""
        if not account.bot:
            raise Refused(403, 20002, "Only bots can use this endpoint")
        async with self._world.store.reading() as connection:
            own = await some_user(connection, account.user_id)
            found = await connection.execute(select(users).where(users.c.id == own.owner_id))
            owner = found.one_or_none()
        return shapes.application(account, shapes.author(account) if owner is None else shapes.user_of(owner))

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _add(self, work: Work, name: str, *, bot: bool, **values: Any) -> Account:
        await _must_be_free(work.connection, name)
        account = Account(self._world.ids.next(), name, bot)
        row = {"id": account.user_id, "username": name, "username_key": name_key(name), "bot": bot, **values}
        await work.connection.execute(insert(users).values(row))
        return account

    async def _enter(self, work: Work, account: Account) -> None:
        there = await work.connection.scalar(select(guilds.c.id).where(guilds.c.id == self._default_guild))
        if there is not None:
            await join(self._world, work, account, there)

    async def _issue(self, work: Work, account: Account) -> str:
        token = _bot_token(account.user_id) if account.bot else secrets.token_urlsafe(32)
        row = {"hash": _digest(token), "user_id": account.user_id, "created_at": self._world.ids.now()}
        await work.connection.execute(insert(tokens).values(row))
        return token

    def _forget(self, user_id: int) -> None:
        self._voided += 1
        for digest in [digest for digest, account in self._known.items() if account.user_id == user_id]:
            del self._known[digest]


def name_key(name: str) -> str:
    """What makes two names the same."""
    return unicodedata.normalize("NFKC", name).casefold()[:128]


def _username(form: Form) -> str:
    name = form.text("username", least=2, most=32, required=True) or ""
    if name and (name != name.strip() or not name.isprintable() or _FORBIDDEN & set(name)):
        form.wrong("username", "USERNAME_INVALID", "Must be printable, without @ # : ` and without spaces at its ends.")
    return name


async def _must_be_free(connection: AsyncConnection, name: str, besides: int | None = None) -> None:
    taken = await connection.scalar(select(users.c.id).where(users.c.username_key == name_key(name)))
    if taken not in {None, besides}:
        raise invalid_field("username", "USERNAME_ALREADY_TAKEN", "Username is unavailable. Try another one.")


async def _is_caretaker(connection: AsyncConnection, user_id: int) -> bool:
    row = await some_user(connection, user_id)
    return bool(row.bot) and row.owner_id == user_id


def _account(row: Row[Any]) -> Account:
    return Account(row.id, row.username, row.bot)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _bot_token(user_id: int) -> str:
    whose = base64.urlsafe_b64encode(str(user_id).encode()).decode().rstrip("=")
    return f"{whose}.{secrets.token_urlsafe(4)}.{secrets.token_urlsafe(28)}"
