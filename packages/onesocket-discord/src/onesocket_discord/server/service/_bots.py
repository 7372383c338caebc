"""Bots: their applications, who may add them to guilds, and which intents they may use."""

from __future__ import annotations

from sqlalchemy import select, update

from ...protocol._intents import Intents
from .._api_error import ApiError, invalid_field
from .._names import name_key
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import users
from . import _serialization as serialize
from ._access import find_user
from ._logins import LoginService
from ._service_context import Service, ServiceContext, transaction


class BotService(Service):
    """Shows applications to their bots, and changes bots for the server's owner."""

    def __init__(self, context: ServiceContext, logins: LoginService) -> None:
        super().__init__(context)
        self._logins = logins

    async def application(self, account: Account) -> Json:
        """The bot's application. `ApiError` for people: they have none."""
        if not account.bot:
            raise ApiError(403, 20002, "Only bots can use this endpoint")
        async with self.reading() as connection:
            own = await find_user(connection, account.user_id)
            found = await connection.execute(select(users).where(users.c.id == own.owner_id))
            owner = found.one_or_none()
        shown = serialize.user_from_account(account) if owner is None else serialize.user_from_row(owner)
        return serialize.application(account, shown, is_public=own.bot_public)

    @transaction
    async def edit(
        self,
        work: UnitOfWork,
        name: str,
        *,
        public: bool | None = None,
        owner: int | None = None,
        denied_intents: int | None = None,
    ) -> None:
        """Change a bot for the server's owner; None leaves a value as it is (see `AccountService.create_bot`).

        HTTP obeys at once. When an intent is taken away, sessions end with 4003, as at Discord, and an Identify that
        asks for it is refused with 4014.
        """
        this = (users.c.username_key == name_key(name)) & users.c.bot & users.c.owner_id.is_distinct_from(users.c.id)
        found = (await work.execute(select(users.c.id, users.c.denied_intents).where(this))).one_or_none()
        if found is None:
            raise invalid_field("name", "BOT_UNKNOWN", f"There is no bot called {name!r}.")
        bot_id: int = found.id
        denied = None if denied_intents is None else denied_intents & Intents.PRIVILEGED
        given = {"bot_public": public, "owner_id": owner, "denied_intents": denied}
        values = {column: value for column, value in given.items() if value is not None}
        if values:
            await work.execute(update(users).where(users.c.id == bot_id).values(values))
            work.after_commit(lambda: self._logins.forget(bot_id))
            loses = bool((denied or 0) & ~found.denied_intents)
            self._context.account_changed(work, bot_id, invalidates=loses)
