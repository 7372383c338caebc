"""One account, signed in: the one line that every panel joins, the requests, and what is known."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from .... import (
    Change,
    DecodeError,
    Gap,
    Identity,
    InvalidOption,
    LoginRefused,
    Notices,
    OnesocketError,
    OutboxLimits,
    Outcome,
    Provider,
    ReconnectPolicy,
    Status,
)
from ....discord import DiscordClient, Dispatch, Intents, WrongToken
from ....discord.rest import Accounts, BadAnswer, Rest, Unauthorized
from ..model.outbox import Draft
from ..model.reducer import in_doubt, reduce, without_the_past
from ..model.things import Channel, Guild, Json, Message, read
from .account import PROGRAM, AccountSettings
from .address import Server
from .chores import Chores
from .complaints import Complaints
from .drafts import Drafts
from .line import Line
from .loader import Loader
from .reader import Reader
from .sender import Sender
from .shared import Shared
from .shelf import Shelves
from .store import Store
from .timeline import Timeline

T = TypeVar("T")
_OUTBOX: Final = OutboxLimits(messages=100, age=600.0)
_RECONNECT: Final = ReconnectPolicy(cap=5.0)
_INTENTS: Final = Intents.UNPRIVILEGED | Intents.PRIVILEGED
_LONGEST: Final = 2_000
_TYPING_EVERY: Final = 8.0
"""Seconds; it is shown for ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """Seconds and numbers."""

    close_timeout: float = 5.0
    request_timeout: float = 20.0
    outbox: OutboxLimits = _OUTBOX
    """How many messages wait for the line, and how long."""
    reconnect: ReconnectPolicy = _RECONNECT


_DEFAULT: Final = SessionOptions()


async def sign_in(server: Server, name: str, password: str, *, register: bool = False, timeout: float = 20.0) -> str:
    """Make an account, or sign in to one; gives the token. Raises what `Accounts` raises."""
    accounts = Accounts(server.api_url, timeout=timeout, user_agent=PROGRAM)
    return await (accounts.register if register else accounts.login)(name, password)


class Session:
    """Belongs to one event loop. Failures are put on the board; no action raises, except where it says so.

    `shelves` keep what is written and not sent; without them it is kept in memory. `on_void` is called once if the
    server no longer accepts the token, with the HTTP status or close code that says so.
    """

    def __init__(
        self,
        server: Server,
        token: str,
        notices: Notices,
        options: SessionOptions = _DEFAULT,
        *,
        shelves: Shelves | None = None,
        on_void: Callable[[Session, int], object] | None = None,
    ) -> None:
        self.server = server
        self.store = Store()
        self.timeline = Timeline()
        self.line = Line()
        self.notices = notices
        self.joins = 0
        """How often somebody asked for the line."""
        self.complaints = Complaints(notices, self._void)
        self.is_void = False
        """Whether the server said that it no longer accepts the token."""
        self._on_void = on_void
        self._is_leaving = False
        self._token = token
        self._options = options
        self._identity: Identity | None = Identity(f"person at {server.name}", token)
        self._rest = Rest(token, api_url=server.api_url, token_type=None, timeout=options.request_timeout)
        self._provider = Provider(self._client, auth=lambda: self._identity, notices=notices, service=server.name)
        accounts = Accounts(server.api_url, timeout=options.request_timeout, user_agent=PROGRAM)
        self.account = AccountSettings(accounts, token, self.complaints)
        self._chores = Chores()
        shared = Shared(self.store, self._rest, self.line, self._chores, self.complaints)
        self._sender = Sender(shared, options.outbox)
        self.loader = Loader(shared)
        self.drafts = Drafts(shared, self._sender, notices, shelves or Shelves(None), server.api_url)
        self._reader = Reader(shared)
        self._typed: dict[int, float] = {}
        self._taps = (self.store.listen(self.loader.check), self.store.listen(self.drafts.check))

    def __repr__(self) -> str:
        return f"<Session at {self.server.name} {self._provider!r}>"

    @property
    def status(self) -> Status | None:
        """How the line stands; None before the first attempt."""
        return self._provider.client.status if self._provider.client is not None else None

    @property
    def now(self) -> float:
        """The clock of typing and of the outbox."""
        return asyncio.get_running_loop().time()

    # --- the line ---------------------------------------------------------------------------------------------------

    async def join(self) -> Outcome:
        """Have the line up: whoever shows something calls this, and all share one. Raises what the attempt raised."""
        self.joins += 1
        return await self._provider.connect_if_authenticated()

    def connect(self) -> None:
        """Try now, whatever the back-off says; what fails is on the board."""
        self.loader.again()
        self._chores.start("connect", self._connect())

    async def sign_out(self) -> None:
        """Close the line and make the token void."""
        self._on_void = None
        self._identity = None
        await self._provider.logout()
        try:
            await Accounts(self.server.api_url, timeout=self._options.close_timeout).logout(self._token)
        except OnesocketError as error:
            self.complaints.failed("account", error)

    async def leaving(self, request: Awaitable[T]) -> T:
        """Await a request that makes the token void: that it does so is no surprise, unless the request failed."""
        self._is_leaving = True
        done = False
        try:
            answer = await request
            done = bool(answer)
        finally:
            if not done:
                self._is_leaving = False
                if self.is_void:
                    self._void()
        return answer

    async def aclose(self) -> None:
        """End it all in order, within `close_timeout`. Idempotent."""
        self._on_void = None
        for tap in self._taps:
            tap()
        await self._chores.aclose()
        self.drafts.close()
        await self._provider.aclose()
        await self._rest.aclose()

    def tick(self) -> None:
        """For once a second: forget who stopped writing."""
        self.store.change(lambda world: without_the_past(world, self.now))

    # --- messages ---------------------------------------------------------------------------------------------------

    def say(self, channel_id: int, content: str, *, reply_to: int | None = None) -> Draft:
        """Accept a message; it is sent once, when the line is up. Raises `OutboxFull` or `InvalidOption` (too long)."""
        if len(content) > _LONGEST:
            raise InvalidOption(f"the message has {len(content)} characters and may have {_LONGEST}: send it in parts")
        channel = self.store.world.channels.get(channel_id)
        after = (channel.last_message_id or 0) if channel is not None else 0
        draft = Draft(secrets.token_hex(12), channel_id, content, self.now, reply_to, after=after)
        self._sender.accept(draft)
        self._typed.pop(channel_id, None)
        return draft

    def retry(self, nonce: str) -> None:
        """Send a failed one after all."""
        self._sender.retry(nonce)

    def discard(self, nonce: str) -> bool:
        """Forget one that was not sent; False: too late."""
        return self._sender.discard(nonce)

    def seen(self, channel_id: int) -> None:
        """What is in this channel was shown to somebody."""
        self._reader.seen(channel_id)

    def typing(self, channel_id: int) -> None:
        """Somebody is writing; the others are told now and then."""
        if self.line.is_up and self.now - self._typed.get(channel_id, -_TYPING_EVERY) >= _TYPING_EVERY:
            self._typed[channel_id] = self.now
            self._chores.start(f"typing in {channel_id}", self._tell_typing(channel_id))

    async def edit(self, channel_id: int, message_id: int, content: str) -> bool:
        """Change what we wrote."""
        return await self._ask("edit", self._rest.edit_message(channel_id, message_id, content)) is not None

    async def delete(self, message: Message) -> bool:
        """Delete a message."""
        done = await self._ask("delete", _done(self._rest.delete_message(message.channel_id, message.id)))
        return done is not None

    async def react(self, message: Message, emoji: str) -> bool:
        """React, or take it back."""
        mine = any(one.me and one.emoji.key == emoji for one in message.reactions)
        call = self._rest.remove_reaction if mine else self._rest.add_reaction
        return await self._ask("react", _done(call(message.channel_id, message.id, emoji))) is not None

    # --- guilds and channels ----------------------------------------------------------------------------------------

    async def create_guild(self, name: str) -> Guild | None:
        """Make a guild."""
        return self._read("guild", await self._ask("guild", self._rest.create_guild(name)), Guild)

    async def create_channel(self, guild_id: int, name: str) -> Channel | None:
        """Make a text channel."""
        return self._read("channel", await self._ask("channel", self._rest.create_channel(guild_id, name)), Channel)

    async def invite(self, channel_id: int) -> str | None:
        """Make an invite; its code."""
        made = await self._ask("invite", self._rest.create_invite(channel_id))
        code = (made or {}).get("code")
        return code if isinstance(code, str) else None

    async def accept(self, code: str) -> int | None:
        """Enter a guild by an invite; the guild's id."""
        entered = await self._ask("join", self._rest.accept_invite(code))
        guild = None if entered is None else self._read("join", entered.get("guild"), Guild)
        return None if guild is None else guild.id

    async def direct(self, user_id: int) -> Channel | None:
        """Find or begin the conversation with somebody."""
        channel = self._read("direct", await self._ask("direct", self._rest.create_dm(user_id)), Channel)
        if channel is not None and channel.id not in self.store.world.channels:
            # The event may come later, and to bots never.
            self._happened("CHANNEL_CREATE", msgspec.to_builtins(channel))
        return channel

    # --- inside -----------------------------------------------------------------------------------------------------

    def _client(self, token: Callable[[], Awaitable[str]]) -> DiscordClient:
        client = DiscordClient(
            token,
            _INTENTS,
            api_url=self.server.api_url,
            token_type=None,
            close_timeout=self._options.close_timeout,
            reconnect=self._options.reconnect,
        )
        client.on(self._received)
        client.on_change(self._changed)
        return client

    def _received(self, message: Dispatch | Gap) -> None:
        if isinstance(message, Gap):
            self.store.change(in_doubt)
            return
        try:
            self._happened(message.event, message.plain)
        except DecodeError as error:
            self.complaints.failed("unreadable", error)

    def _happened(self, event: str, data: Json) -> None:
        self.store.change(lambda world: reduce(world, event, data, self.now))

    def _changed(self, change: Change) -> None:
        self.timeline.add(change)
        self.line.changed(change)
        if isinstance(change.error, LoginRefused | Unauthorized):
            self._void(4004 if isinstance(change.error, WrongToken) else 401)
        if self.line.is_up:
            self.complaints.line_is_back()
            self.loader.again()
            self._sender.settle()
        self.store.tell()

    def _void(self, code: int = 401) -> None:
        self.is_void = True
        if self._is_leaving:
            return
        tell, self._on_void = self._on_void, None
        if tell is not None:
            tell(self, code)

    async def _connect(self) -> None:
        with contextlib.suppress(OnesocketError):  # the provider said it on the board
            await self.join()

    async def _tell_typing(self, channel_id: int) -> None:
        try:
            await self._rest.typing(channel_id)
        except Unauthorized:
            self._void()
        except OnesocketError:
            pass  # nobody misses it

    async def _ask(self, action: str, call: Awaitable[Json]) -> Json | None:
        try:
            answer = await call
        except OnesocketError as error:
            self.complaints.failed(action, error)
            return None
        self.complaints.succeeded(action)
        return answer

    def _read(self, action: str, answer: object, kind: type[T]) -> T | None:
        if answer is None:
            return None
        try:
            return read(answer, kind)
        except msgspec.ValidationError as error:
            self.complaints.failed(action, BadAnswer(f"the answer can't be read: {error}", status=200))
            return None


async def _done(call: Awaitable[None]) -> Json:
    await call
    return {}
