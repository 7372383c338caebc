"""Tokens: their accounts, their last use, and their end."""

from __future__ import annotations

import base64
import secrets
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, delete, func, insert, select, update

from ...protocol._snowflakes import iso_timestamp
from .._api_error import invalid_field, unauthorized
from .._ports import Account, Json, token_digest
from ..store import UnitOfWork
from ..store._tables import tokens, users
from ._service_context import Service, ServiceContext, concurrent_transaction, transaction

LOGIN_LIFETIME: Final = 30 * 86_400.0
"""Seconds without use after which a person's token is void; a bot's is valid until it is replaced."""
_MAX_CACHED_LOGINS = 4096
_LAST_USED_INTERVAL = 3600.0
"""Seconds between two updates of a token's last use, which would otherwise be a write per request."""
_MAX_CLIENT_LENGTH = 200

_LAST_USED = func.coalesce(tokens.c.last_used_at, tokens.c.created_at)


@dataclass(slots=True)
class _CachedLogin:
    account: Account
    used: float


class LoginService(Service):
    """The tokens of people and bots; only their digests are stored."""

    def __init__(self, context: ServiceContext, lifetime: float = LOGIN_LIFETIME) -> None:
        super().__init__(context)
        self._lifetime = lifetime
        self._known: OrderedDict[bytes, _CachedLogin] = OrderedDict()
        self._voided = 0
        """The number of times that tokens were made void: a read from before the last time may be outdated."""

    def __repr__(self) -> str:
        return f"<LoginService {len(self._known)} remembered>"

    async def authenticate(self, token: str) -> Account | None:
        """Find the account of a token, and record its use. None: the token is unknown or void."""
        key = token_digest(token)
        known = self._known.get(key)
        while known is None:
            voided = self._voided
            async with self.reading() as connection:
                wanted = select(users, _LAST_USED.label("used")).join(tokens).where(tokens.c.hash == key)
                row = (await connection.execute(wanted)).one_or_none()
            if row is None:
                return None
            if voided == self._voided:
                account = account_from_row(row, self._context.denied_intents)
                known = self._known[key] = _CachedLogin(account, row.used)
                if len(self._known) > _MAX_CACHED_LOGINS:
                    self._known.popitem(last=False)
        self._known.move_to_end(key)
        now = self._context.ids.now()
        if not known.account.bot and now - known.used >= self._lifetime:
            await self.void(known.account.user_id, {key})
            return None
        if now - known.used >= _LAST_USED_INTERVAL:
            known.used = now
            await self._note_use({key})
        return known.account if key in self._known or await self._is_there(key) else None

    def is_remembered(self, token: str) -> bool:
        """True if the account of this token is in memory."""
        return token_digest(token) in self._known

    async def issue(self, work: UnitOfWork, account: Account, client: str = "") -> str:
        """Issue a token. `client`: the User-Agent that signs in, shown in the list of logins.

        `ApiError` for an account that was banned or removed meanwhile.
        """
        mine = select(users.c.bot, users.c.disabled_at, users.c.password_hash).where(users.c.id == account.user_id)
        known = (await work.execute(mine)).one()
        if known.disabled_at is not None:
            raise invalid_field("login", "ACCOUNT_DISABLED", "This account was banned by the server's owner.")
        if not known.bot and known.password_hash is None:
            raise unauthorized()
        token = _bot_token(account.user_id) if account.bot else secrets.token_urlsafe(32)
        row = {
            "hash": token_digest(token),
            "user_id": account.user_id,
            "created_at": self._context.ids.now(),
            "client": client[:_MAX_CLIENT_LENGTH],
        }
        await work.execute(insert(tokens).values(row))
        return token

    async def of(self, account: Account, token: str) -> list[Json]:
        """The logins of this user, the one used last first; `current` is that of `token`."""
        mine = select(tokens, _LAST_USED.label("used")).where(tokens.c.user_id == account.user_id)
        async with self.reading() as connection:
            rows = (await connection.execute(mine.order_by(_LAST_USED.desc(), tokens.c.hash))).all()
        current = token_digest(token)
        return [
            {
                "id_hash": _id_hash(row.hash),
                "created_at": iso_timestamp(row.created_at),
                "approx_last_used_time": iso_timestamp(row.used),
                "client_info": {"user_agent": row.client or None},
                "current": row.hash == current,
            }
            for row in rows
        ]

    async def end(self, account: Account, hashes: Collection[str] | None) -> None:
        """Make the tokens with these `id_hash`es void (None: all of this user), and close their connections."""
        mine = select(tokens.c.hash).where(tokens.c.user_id == account.user_id)
        async with self.reading() as connection:
            there = (await connection.scalars(mine)).all()
        await self.void(account.user_id, {key for key in there if hashes is None or _id_hash(key) in hashes})

    @transaction
    async def void(self, work: UnitOfWork, user_id: int, keys: Collection[bytes]) -> None:
        """Make these tokens of a user void, and close the connections that logged in with them."""
        await self.void_within(work, user_id, keys)

    async def void_within(self, work: UnitOfWork, user_id: int, keys: Collection[bytes] | None = None) -> None:
        """Make tokens void within a transaction; None: all tokens of the user."""
        gone = delete(tokens).where(tokens.c.user_id == user_id)
        await work.execute(gone if keys is None else gone.where(tokens.c.hash.in_(list(keys))))
        work.after_commit(lambda: self.forget(user_id))
        if keys is None:
            self._context.sign_out(work, user_id)
        for key in keys or ():
            self._context.sign_out(work, user_id, key)

    async def expire(self) -> None:
        """Make unused tokens void; those with an open connection count as used."""
        await self._note_use(self._context.publisher.logins())
        latest = self._context.ids.now() - self._lifetime
        old = select(tokens.c.user_id, tokens.c.hash).join(users).where(~users.c.bot, latest >= _LAST_USED)
        async with self.reading() as connection:
            rows = (await connection.execute(old)).all()
        for row in rows:
            await self.void(row.user_id, {row.hash})

    def forget(self, user_id: int) -> None:
        """Forget the cached account of a user that has changed."""
        self._voided += 1
        for key in [key for key, known in self._known.items() if known.account.user_id == user_id]:
            del self._known[key]

    def forget_all(self) -> None:
        """Forget every cached account: what was told of them may have been missed."""
        self._voided += 1
        self._known.clear()

    @concurrent_transaction
    async def _note_use(self, work: UnitOfWork, keys: Collection[bytes]) -> None:
        if not keys:
            return
        now = self._context.ids.now()
        used = update(tokens).where(tokens.c.hash.in_(list(keys)))
        await work.execute(used.values(last_used_at=now))

    async def _is_there(self, key: bytes) -> bool:
        async with self.reading() as connection:
            return await connection.scalar(select(tokens.c.user_id).where(tokens.c.hash == key)) is not None


def account_from_row(row: Row[Any], denied_intents: int = 0) -> Account:
    """The account in a row of the users. `denied_intents`: those that no bot may use."""
    return Account(row.id, row.username, row.bot, row.denied_intents | denied_intents if row.bot else 0)


def _id_hash(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def _bot_token(user_id: int) -> str:
    whose = base64.urlsafe_b64encode(str(user_id).encode()).decode().rstrip("=")
    return f"{whose}.{secrets.token_urlsafe(4)}.{secrets.token_urlsafe(28)}"
