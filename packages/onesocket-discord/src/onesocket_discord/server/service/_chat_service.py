"""The whole service, and its part for the gateway."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import insert, select

from ...protocol._snowflakes import SnowflakeGenerator
from .._api_error import ApiError
from .._names import name_key
from .._ports import Account, Json, Publisher, ReadyData
from .._skeletons import name_skeleton
from ..store import Store, UnitOfWork
from ..store._tables import channels, guilds, members, users
from . import _serialization as serialize
from ._accounts import AccountService, Registration
from ._attachments import AttachmentService
from ._bans import BanService
from ._bots import BotService
from ._channels import ChannelService, private_channels
from ._commands import CommandService
from ._guilds import GuildService
from ._invites import InviteService
from ._logins import LOGIN_LIFETIME, LoginService
from ._membership import guild_create_objects
from ._messages import MessageService
from ._passwords import PasswordService
from ._pins import PinService
from ._reactions import ReactionService
from ._read_states import read_state_objects
from ._relationships import RelationshipService, relationships_of
from ._reports import ReportService
from ._roles import RoleService
from ._search import SearchService
from ._service_context import ServiceContext

log = logging.getLogger(__name__)

_EXPIRE_INTERVAL = 3600.0
_CARETAKER = "onesocket"
"""The account that owns the default guild until the first person registers; it can't sign in."""


class ChatService:
    """All operations with their checks, and the gateway's `Directory`.

    Methods return JSON objects as Discord documents them, once their changes are on disk, and raise `ApiError`.
    """

    def __init__(
        self,
        context: ServiceContext,
        passwords: PasswordService,
        default_guild: int,
        lifetime: float = LOGIN_LIFETIME,
        registration: Registration = "open",
    ) -> None:
        self._context = context
        self.default_guild = default_guild
        """The id of the guild that every new account joins."""
        self.logins = LoginService(context, lifetime)
        self.accounts = AccountService(context, passwords, self.logins, default_guild, registration)
        self.bots = BotService(context, self.logins)
        self.guilds = GuildService(context)
        self.channels = ChannelService(context)
        self.messages = MessageService(context)
        self.search = SearchService(context)
        self.attachments = AttachmentService(context)
        self.reactions = ReactionService(context)
        self.pins = PinService(context)
        self.commands = CommandService(context)
        self.invites = InviteService(context)
        self.roles = RoleService(context)
        self.bans = BanService(context)
        self.relationships = RelationshipService(context)
        self.reports = ReportService(context)

    @property
    def store(self) -> Store:
        """The database."""
        return self._context.store

    def __repr__(self) -> str:
        return f"<ChatService {self._context.store!r}>"

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        where: str | Path,
        publisher: Publisher,
        *,
        shared: bool = False,
        clock: Callable[[], float] = time.time,
        passwords: PasswordService | None = None,
        login_lifetime: float = LOGIN_LIFETIME,
        files_url: Callable[[], str] = str,
        registration: Registration = "open",
        denied_intents: int = 0,
    ) -> AsyncGenerator[ChatService, None]:
        """Open the store (see `Store.open`), and create the default guild at the first start.

        `files_url` gives the server's address, `clock` seconds since 1970; a person's token is void `login_lifetime`
        seconds after its last use; `registration` says who may register; no bot may use `denied_intents`.
        """
        passwords = await (passwords or PasswordService()).prepare()
        async with Store.open(where, shared=shared) as store:
            ids = SnowflakeGenerator(clock, await store.largest_id(), lambda: store.node)
            context = ServiceContext(store, ids, publisher, files_url=files_url, denied_intents=denied_intents)
            service = cls(context, passwords, await _default_guild(context), login_lifetime, registration)
            expiring = asyncio.create_task(service._expire(), name="onesocket chat logins expire")
            try:
                yield service
            finally:
                expiring.cancel()
                await asyncio.wait([expiring])

    async def _expire(self) -> None:
        while True:
            try:
                await self.logins.expire()
            except Exception:
                log.exception("old logins could not be ended; tried again in %g s", _EXPIRE_INTERVAL)
            await asyncio.sleep(_EXPIRE_INTERVAL)

    # --- the gateway's directory --------------------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Account | None:
        """The account of a token, given without the prefix ``Bot ``; None for an invalid one."""
        return await self.logins.authenticate(token)

    def is_remembered(self, token: str) -> bool:
        """True if the account of this token is in memory."""
        return self.logins.is_remembered(token)

    async def ready_data(self, account: Account) -> ReadyData:
        """The data for READY of this account."""
        async with self._context.store.reading() as connection:
            mine = await guild_create_objects(connection, self._context.publisher, account)
            if account.bot:
                return ReadyData(serialize.current_user(account), serialize.short_application(account), mine)
            private = await private_channels(connection, account.user_id)
            related = await relationships_of(connection, account.user_id)
            read = await read_state_objects(connection, account.user_id)
        user, application = serialize.current_user(account), serialize.short_application(account)
        return ReadyData(user, application, mine, private, read, related)

    async def members(self, account: Account, guild_id: int, user_ids: Sequence[int] | None) -> Sequence[Json] | None:
        """The members of a guild (all, or those with `user_ids`) by id; None if the account is not a member of it."""
        try:
            return await self.guilds.some_members(account, guild_id, user_ids)
        except ApiError:
            return None

    async def members_by_guild(self, user_id: int) -> dict[int, frozenset[int]]:
        """The ids of the members of each of this user's guilds."""
        async with self._context.store.reading() as connection:
            mine = select(guilds.c.id, guilds.c.members_version).join(members).where(members.c.user_id == user_id)
            return {
                row.id: await self._context.audience.of(connection, row.id, row.members_version)
                for row in (await connection.execute(mine)).all()
            }


async def _default_guild(context: ServiceContext) -> int:
    async def operation(work: UnitOfWork) -> int:
        there: int | None = await work.scalar(select(guilds.c.id).where(guilds.c.is_default))
        if there is not None:
            return there
        keeper, guild, channel = (context.ids.next() for _ in range(3))
        name = {
            "username": _CARETAKER,
            "username_key": name_key(_CARETAKER),
            "username_skeleton": name_skeleton(_CARETAKER),
        }
        caretaker = {**name, "id": keeper, "bot": True, "owner_id": keeper, "bot_public": False}
        await work.execute(insert(users).values(caretaker))
        values = {"id": guild, "name": "onesocket", "owner_id": keeper, "is_default": True}
        await work.execute(insert(guilds).values(values))
        general = {"id": channel, "type": serialize.GUILD_TEXT, "guild_id": guild, "name": "general", "position": 0}
        await work.execute(insert(channels).values(general))
        return guild

    return await context.store.write(operation)
