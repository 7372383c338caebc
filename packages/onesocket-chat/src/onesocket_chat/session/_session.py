"""The session of one signed-in account: its shared connection, its requests, and its state."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from onesocket import Gap, Identity, OnesocketError, Outcome, Provider, ReconnectPolicy, Status
from onesocket.client import Change, OutboxLimits
from onesocket.errors import DecodeError, InvalidOption, LoginRefused
from onesocket.notices import Notices
from onesocket_discord import DiscordClient, Dispatch, Intents, WrongToken
from onesocket_discord.protocol._limits import MAX_CONTENT_LENGTH
from onesocket_discord.rest import Accounts, Rest, Unauthorized

from ..model._models import Channel, Guild, Json, Message
from ..model._outbox import Draft
from ..model._reducer import expire_typing, mark_stale, reduce
from ._account_settings import USER_AGENT, AccountSettings
from ._background_tasks import BackgroundTasks
from ._connection_monitor import ConnectionMonitor
from ._draft_files import DraftFiles
from ._drafts import Drafts
from ._history_loader import HistoryLoader
from ._invite_code import invite_code
from ._message_search import MessageSearch
from ._message_sender import MessageSender
from ._moderation import Moderation
from ._read_marker import ReadMarker
from ._request_errors import RequestErrors
from ._server_address import ServerAddress
from ._server_pulse import ServerPulse
from ._session_context import SessionContext
from ._state_store import StateStore

T = TypeVar("T")
_OUTBOX: Final = OutboxLimits(messages=100, age=600.0)
_RECONNECT: Final = ReconnectPolicy(cap=5.0)
_INTENTS: Final = Intents.UNPRIVILEGED | Intents.PRIVILEGED
_TYPING_INTERVAL: Final = 8.0
"""Seconds; it is shown for ten."""


class TokenState(enum.Enum):
    """The server's acceptance of a session's token."""

    VALID = enum.auto()
    LEAVING = enum.auto()
    """A request that makes the token void is under way or done, so a rejection is expected."""
    VOID = enum.auto()
    """Rejected while leaving."""
    REJECTED = enum.auto()
    """Rejected, and reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """Seconds and numbers."""

    close_timeout: float = 5.0
    request_timeout: float = 20.0
    ping_interval: float = 10.0
    """Time within which it is seen that the server of an open connection does not answer any more."""
    outbox: OutboxLimits = _OUTBOX
    """Limits of the messages that wait for the connection."""
    reconnect: ReconnectPolicy = _RECONNECT


_DEFAULT: Final = SessionOptions()


async def sign_in(
    server: ServerAddress,
    name: str,
    password: str,
    *,
    register: bool = False,
    invite: str = "",
    timeout: float = 20.0,
) -> str:
    """Register an account, or sign in; returns the token. Raises the errors of `Accounts`."""
    accounts = Accounts(server.api_url, timeout=timeout, user_agent=USER_AGENT)
    if register:
        return await accounts.register(name, password, invite_code(invite) or None)
    return await accounts.login(name, password)


class ChatSession:
    """The connection, the state and the requests of one signed-in account, on one event loop.

    Failures become notices; an action raises only where its docstring says so. `draft_files` save unsent texts;
    without them they stay in memory. `on_token_rejected` is called once if the server no longer accepts the token,
    with the HTTP status or close code.
    """

    def __init__(
        self,
        server: ServerAddress,
        token: str,
        notices: Notices,
        options: SessionOptions = _DEFAULT,
        *,
        draft_files: DraftFiles | None = None,
        on_token_rejected: Callable[[ChatSession, int], object] | None = None,
    ) -> None:
        self.server = server
        self.store = StateStore()
        self.connection = ConnectionMonitor()
        self.notices = notices
        self.joins = 0
        """The number of calls of `join()`."""
        self.request_errors = RequestErrors(notices, self._token_rejected)
        self._on_token_rejected = on_token_rejected
        self._token_state = TokenState.VALID
        self._token = token
        self._options = options
        self._identity: Identity | None = Identity(f"person at {server.name}", token)
        self._rest = Rest(token, api_url=server.api_url, token_type=None, timeout=options.request_timeout)
        self._provider = Provider(self._client, auth=lambda: self._identity, notices=notices, service=server.name)
        accounts = Accounts(server.api_url, timeout=options.request_timeout, user_agent=USER_AGENT)
        self.account = AccountSettings(accounts, token, self.request_errors)
        self._background = BackgroundTasks()
        context = SessionContext(self.store, self._rest, self.connection, self._background, self.request_errors)
        self.sender = MessageSender(context, options.outbox)
        self.loader = HistoryLoader(context)
        self.drafts = Drafts(context, self.sender, notices, draft_files or DraftFiles(None), server.api_url)
        self.read_marker = ReadMarker(context)
        self.search = MessageSearch(context)
        self.moderation = Moderation(context)
        self.pulse = ServerPulse(context, options.ping_interval)
        self._typed: dict[int, float] = {}
        self._unsubscribes = (self.store.listen(self.loader.check), self.store.listen(self.drafts.check))

    def __repr__(self) -> str:
        return f"<ChatSession at {self.server.name} {self._provider!r}>"

    @property
    def status(self) -> Status | None:
        """The status of the connection; None before the first attempt."""
        return self._provider.client.status if self._provider.client is not None else None

    @property
    def is_token_rejected(self) -> bool:
        """True if the server no longer accepts the token."""
        return self._token_state in {TokenState.VOID, TokenState.REJECTED}

    @property
    def now(self) -> float:
        """The time of the application's clock."""
        return asyncio.get_running_loop().time()

    # --- the connection ---------------------------------------------------------------------------------------------

    async def join(self) -> Outcome:
        """Connect, or join the shared connection; every panel calls it. Raises the attempt's error."""
        self.joins += 1
        return await self._provider.connect_if_authenticated()

    def connect(self) -> None:
        """Connect now, without waiting for the back-off; failures become notices."""
        self.loader.again()
        self._background.start("connect", self._connect())

    async def sign_out(self) -> None:
        """Close the connection and end this login."""
        self._on_token_rejected = None
        self._identity = None
        await self._provider.logout()
        try:
            await Accounts(self.server.api_url, timeout=self._options.close_timeout).logout(self._token)
        except OnesocketError as error:
            self.request_errors.failed("account", error)

    async def leaving(self, request: Awaitable[T]) -> T:
        """Await a request that makes the token void; its rejection is reported only if the request failed."""
        self._token_state = TokenState.VOID if self.is_token_rejected else TokenState.LEAVING
        done = False
        try:
            answer = await request
            done = bool(answer)
        finally:
            if not done:
                was_rejected, self._token_state = self.is_token_rejected, TokenState.VALID
                if was_rejected:
                    self._token_rejected()
        return answer

    async def aclose(self) -> None:
        """Close everything in order, within `close_timeout`. Idempotent."""
        self._on_token_rejected = None
        for unsubscribe in self._unsubscribes:
            unsubscribe()
        await self._background.aclose()
        self.drafts.close()
        await self._provider.aclose()
        await self._rest.aclose()

    def tick(self) -> None:
        """Expire typing indicators, and look after the server; called once per second."""
        self.pulse.check()
        self.store.change(lambda state: expire_typing(state, self.now))

    # --- messages ---------------------------------------------------------------------------------------------------

    def send_message(self, channel_id: int, content: str, *, reply_to: int | None = None) -> Draft:
        """Accept a message, to be sent once, when connected. Raises `OutboxFull` or `InvalidOption` (too long)."""
        if len(content) > MAX_CONTENT_LENGTH:
            raise InvalidOption(
                f"the message has {len(content)} characters and may have {MAX_CONTENT_LENGTH}: send it in parts"
            )
        channel = self.store.state.channels.get(channel_id)
        after = (channel.last_message_id or 0) if channel is not None else 0
        draft = Draft(secrets.token_hex(12), channel_id, content, self.now, reply_to, after=after)
        self.sender.accept(draft)
        self._typed.pop(channel_id, None)
        return draft

    def typing(self, channel_id: int) -> None:
        """Send the typing indicator, at intervals, while the user types."""
        if (
            self.connection.is_connected
            and self.now - self._typed.get(channel_id, -_TYPING_INTERVAL) >= _TYPING_INTERVAL
        ):
            self._typed[channel_id] = self.now
            self._background.start(f"typing in {channel_id}", self._tell_typing(channel_id))

    async def edit(self, channel_id: int, message_id: int, content: str) -> bool:
        """Edit an own message."""
        return await self.request_errors.succeeds("edit", self._rest.edit_message(channel_id, message_id, content))

    async def delete(self, message: Message) -> bool:
        """Delete a message."""
        return await self.request_errors.succeeds("delete", self._rest.delete_message(message.channel_id, message.id))

    async def react(self, message: Message, emoji: str) -> bool:
        """React, or take it back."""
        mine = any(one.me and one.emoji.key == emoji for one in message.reactions)
        call = self._rest.remove_reaction if mine else self._rest.add_reaction
        return await self.request_errors.succeeds("react", call(message.channel_id, message.id, emoji))

    # --- guilds and channels ----------------------------------------------------------------------------------------

    async def create_guild(self, name: str) -> Guild | None:
        """Make a guild."""
        return await self._ask("guild", self._rest.create_guild(name), Guild)

    async def create_channel(self, guild_id: int, name: str) -> Channel | None:
        """Create a text channel."""
        return await self._ask("channel", self._rest.create_channel(guild_id, name), Channel)

    async def invite(self, channel_id: int) -> str | None:
        """Create an invite; returns its code."""
        made = await self.request_errors.guard("invite", self._rest.create_invite(channel_id))
        code = (made or {}).get("code")
        return code if isinstance(code, str) else None

    async def accept(self, code: str) -> int | None:
        """Join a guild by an invite, given by its code or link; returns the guild's id."""
        entered = await self.request_errors.guard("join", self._rest.accept_invite(invite_code(code)))
        guild = self.request_errors.read("join", (entered or {}).get("guild"), Guild)
        return None if guild is None else guild.id

    async def direct(self, user_id: int) -> Channel | None:
        """Open the direct message channel with a user."""
        channel = await self._ask("direct", self._rest.create_dm(user_id), Channel)
        if channel is not None and channel.id not in self.store.state.channels:
            # The event may come later, and bots receive none.
            self._apply_event("CHANNEL_CREATE", msgspec.to_builtins(channel))
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
        client.on(self._received, gaps=True)
        client.on_change(self._changed)
        return client

    def _received(self, message: Dispatch | Gap) -> None:
        self.pulse.alive()
        if isinstance(message, Gap):
            self.store.change(mark_stale)
            return
        try:
            self._apply_event(message.event, message.plain)
        except DecodeError as error:
            self.request_errors.failed("unreadable", error)

    def _apply_event(self, event: str, data: Json) -> None:
        self.store.change(lambda state: reduce(state, event, data, self.now))

    def _changed(self, change: Change) -> None:
        self.connection.changed(change)
        if isinstance(change.error, LoginRefused | Unauthorized):
            self._token_rejected(4004 if isinstance(change.error, WrongToken) else 401)
        if self.connection.is_connected:
            self.request_errors.connection_restored()
            self.loader.again()
            self.sender.settle()
        self.store.notify()

    def _token_rejected(self, code: int = 401) -> None:
        if self._token_state in {TokenState.LEAVING, TokenState.VOID}:
            self._token_state = TokenState.VOID
            return
        self._token_state = TokenState.REJECTED
        callback, self._on_token_rejected = self._on_token_rejected, None
        if callback is not None:
            callback(self, code)

    async def _connect(self) -> None:
        with contextlib.suppress(OnesocketError):  # the provider has posted a notice
            await self.join()

    async def _tell_typing(self, channel_id: int) -> None:
        try:
            await self._rest.typing(channel_id)
        except Unauthorized:
            self._token_rejected()
        except OnesocketError:
            pass  # an indicator may be lost

    async def _ask(self, action: str, request: Awaitable[Json], kind: type[T]) -> T | None:
        return self.request_errors.read(action, await self.request_errors.guard(action, request), kind)
