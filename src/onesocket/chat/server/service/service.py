"""The service as a whole, and what the gateway asks of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import insert, select

from ..ids import Snowflakes
from ..ports import Account, Json, Publisher, Welcome
from ..refusal import Refused
from ..store import Store, Work
from ..store.tables import channels, guilds, members, read_states, users
from . import shapes
from .accounts import Accounts, name_key
from .channels import Channels, private_channels
from .commands import Commands
from .guilds import Guilds
from .invites import Invites
from .logins import LIFETIME, Logins
from .membership import whole_guilds
from .messages import Messages
from .passwords import Passwords
from .pins import Pins
from .reactions import Reactions
from .world import World

log = logging.getLogger(__name__)

_EXPIRE_EVERY = 3600.0
_CARETAKER = "onesocket"
"""The account that owns the default guild until the first person comes. Nobody can sign in to it."""


class Service:
    """Everything that can be done, each with its checks; and the gateway's `Directory`.

    Methods return JSON objects as Discord documents them, and raise `Refused`. What is returned, is on disk.
    """

    def __init__(self, world: World, passwords: Passwords, default_guild: int, lifetime: float = LIFETIME) -> None:
        self._world = world
        self.default_guild = default_guild
        """The id of the guild that everybody is put into."""
        self.logins = Logins(world, lifetime)
        self.accounts = Accounts(world, passwords, self.logins, default_guild)
        self.guilds = Guilds(world)
        self.channels = Channels(world)
        self.messages = Messages(world)
        self.reactions = Reactions(world)
        self.pins = Pins(world)
        self.commands = Commands(world)
        self.invites = Invites(world)

    def __repr__(self) -> str:
        return f"<Service {self._world.store!r}>"

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        where: str | Path,
        publisher: Publisher,
        *,
        clock: Callable[[], float] = time.time,
        passwords: Passwords | None = None,
        login_lifetime: float = LIFETIME,
    ) -> AsyncGenerator[Service, None]:
        """Open the store (a file, ``:memory:`` or an SQLAlchemy URL), and make the default guild at the first start.

        `clock` gives seconds since 1970; a person's token is void `login_lifetime` seconds after its last use. Raises
        `InvalidOption` for a place that can't be, `StoreInUse` if another server is at it, `StoreBroken` and
        `StoreTooNew`.
        """
        passwords = await (passwords or Passwords()).prepare()
        async with Store.open(where) as store:
            world = World(store, Snowflakes(clock, await store.largest_id()), publisher)
            service = cls(world, passwords, await _default_guild(world), login_lifetime)
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
                log.exception("old logins could not be ended; tried again in %g s", _EXPIRE_EVERY)
            await asyncio.sleep(_EXPIRE_EVERY)

    # --- what the gateway asks --------------------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Account | None:
        """Whose token it is; None: nobody's. A ``Bot `` prefix was removed."""
        return await self.logins.authenticate(token)

    async def welcome(self, account: Account) -> Welcome:
        """The state of this user's world now."""
        async with self._world.store.reading() as connection:
            mine = await whole_guilds(connection, self._world.publisher, account)
            if account.bot:
                return Welcome(shapes.myself(account), shapes.short_application(account), mine)
            private = await private_channels(connection, account.user_id)
            wanted = select(read_states).where(read_states.c.user_id == account.user_id)
            read = [
                {"id": str(row.channel_id), "last_message_id": str(row.last_message_id), "mention_count": 0}
                for row in (await connection.execute(wanted.order_by(read_states.c.channel_id))).all()
            ]
        return Welcome(shapes.myself(account), shapes.short_application(account), mine, private, read)

    async def members(self, account: Account, guild_id: int, user_ids: Sequence[int] | None) -> Sequence[Json] | None:
        """Guild members in the order of their ids, all or those; None: no such guild, or not a member of it."""
        try:
            return await self.guilds.some_members(account, guild_id, user_ids)
        except Refused:
            return None

    async def acquaintances(self, user_id: int) -> dict[int, frozenset[int]]:
        """For each guild of this user: who is in it (they see the presence)."""
        async with self._world.store.reading() as connection:
            mine = (await connection.scalars(select(members.c.guild_id).where(members.c.user_id == user_id))).all()
            return {guild_id: await self._world.audience.seen(connection, guild_id) for guild_id in mine}


async def _default_guild(world: World) -> int:
    async def operation(work: Work) -> int:
        there: int | None = await work.connection.scalar(select(guilds.c.id).where(guilds.c.is_default))
        if there is not None:
            return there
        keeper, guild, channel = (world.ids.next() for _ in range(3))
        owner = {"id": keeper, "username": _CARETAKER, "username_key": name_key(_CARETAKER), "bot": True}
        await work.connection.execute(insert(users).values({**owner, "owner_id": keeper}))
        values = {"id": guild, "name": "onesocket", "owner_id": keeper, "is_default": True}
        await work.connection.execute(insert(guilds).values(values))
        general = {"id": channel, "type": shapes.GUILD_TEXT, "guild_id": guild, "name": "general", "position": 0}
        await work.connection.execute(insert(channels).values(general))
        return guild

    return await world.store.write(operation)
