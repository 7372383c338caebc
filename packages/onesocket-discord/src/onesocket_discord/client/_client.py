"""`DiscordClient`: a client with one session of Discord's gateway."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl as ssl_module
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn

from onesocket.client._client import Client
from onesocket.client._instruments import InstrumentsOption
from onesocket.client._options import Headers, Token, check_flag, check_headers, check_seconds, check_token
from onesocket.client._status import Change, Status
from onesocket.client._token_source import FixedToken, call_token_source, takes_refusal
from onesocket.client._user_code import call_user_function, mark_unwrapped
from onesocket.errors import InvalidOption, OnesocketError, TokenFailed, UsageError
from onesocket.lifecycle._outbox import OutboxLimits
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import State
from onesocket.recording._recorder import FlightRecorder
from onesocket.transports._proxy import ProxyOption, check_proxy
from onesocket.transports._transport import Transport
from onesocket.urls import parse_url, redact

from ..protocol._api import API_URL, USER_AGENT
from ..protocol._decompression import Compress
from ..protocol._gateway import DiscordGateway
from ..protocol._identification import PROPERTIES, Identification, Presence
from ..protocol._intents import Intents, checked_intents
from ..protocol._opcodes import Opcode
from ..protocol._payload import Dispatch
from ..protocol._sharding import Shard, checked_shard, shard_of
from ._gateway_info import GatewayInfoRequest
from ._guild_members import GuildMembersRequest, Members, request_members
from ._identify_slots import IdentifySlots
from ._presence_sender import PresenceSender
from ._token_state import TOKEN_STATES, TokenState

_DEFAULT_RECONNECT = ReconnectPolicy()
_DEFAULT_OUTBOX = OutboxLimits()


class DiscordClient(Client[Dispatch]):
    """A `Client` for Discord's gateway v10: CONNECTED means READY or RESUMED.

    Messages are `Dispatch` objects: ``client.on("MESSAGE_CREATE", …)`` and ``client.subscribe("MESSAGE_CREATE")``
    select those of one event; their `data` is decoded on access, once for all subscribers.

    Parameters:
        token: A bot's token, as a str or a (coroutine) function that returns one; called for every attempt.
        intents: The events to receive: `Intents`, or their number.
        shard: (id, number of shards); None: one connection for all guilds.
        presence: The bot's presence after the login.
        compress: ``"zlib-stream"``, ``"zstd-stream"`` or None.
        api_url: The API that names the gateway's address.
        gateway_url: The gateway's address, instead of a request to the API.
        token_type: ``"Bot"``, or None for a person's token of a local chat server.
        large_threshold: 50 to 250: in larger guilds GUILD_CREATE leaves the offline members out.
        properties: The client's properties in Identify: `os`, `browser`, `device`.
        identify_reserve: The number of the day's identifies kept in reserve (default: 2 %).
        headers: Header fields for the upgrade, and (but for a `Host`) for the request of the gateway's address. The
            default User-Agent is ``DiscordBot (onesocket, version)``.
        open_timeout: Seconds for one attempt. Waiting for the identify slot is not included.
        max_size: Bytes of one payload, once decompressed; None: no limit.
        snapshot: True to have late readers begin with READY and the guilds as they are by then (also in other processes
            and on other hosts that share the session), which are kept in memory for that.
        proxy: As for `Client`, for the API, too; a SOCKS proxy needs `gateway_url`.
        silence_timeout, silence_of: As for `Client`: a session whose heartbeats are answered, but that brings no
            dispatch (or none that is named), is resumed on a new connection.
        close_timeout, ssl, local_address, reconnect, outbox, on_error, transport, instruments, recorder: as for
            `Client`.
    """

    def __init__(
        self,
        token: Token,
        intents: Intents | int,
        *,
        shard: Shard | None = None,
        presence: Presence | None = None,
        compress: Compress | None = None,
        api_url: str = API_URL,
        gateway_url: str | None = None,
        token_type: Literal["Bot"] | None = "Bot",  # noqa: S107 - the kind of a token
        large_threshold: int | None = None,
        properties: Mapping[str, str] = PROPERTIES,
        identify_reserve: int | None = None,
        headers: Headers | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: ProxyOption = True,
        local_address: str | None = None,
        open_timeout: float = 10.0,
        close_timeout: float = 5.0,
        silence_timeout: float | None = None,
        silence_of: Callable[[Dispatch], bool] | None = None,
        max_size: int | None = 32 * 2**20,
        snapshot: bool = False,
        reconnect: ReconnectPolicy | None = _DEFAULT_RECONNECT,
        outbox: OutboxLimits | None = _DEFAULT_OUTBOX,
        on_error: Callable[[BaseException], object] | None = None,
        transport: Transport | None = None,
        instruments: InstrumentsOption = None,
        recorder: FlightRecorder | None = None,
    ) -> None:
        self._discord_token = _token(token)
        self._api_url = parse_url(api_url, schemes=("http", "https"), what="API URL").url
        fields = _with_user_agent(check_headers(headers))
        self._gateway_request = None
        if gateway_url is None:
            self._gateway_request = GatewayInfoRequest(
                api_url=api_url,
                token_type=token_type,
                timeout=check_seconds("open_timeout", open_timeout),
                ssl=ssl,
                proxy=_check_api_proxy(proxy),
                local_address=local_address,
                headers=fields,
            )
        self.shard = checked_shard(shard)
        self._identify_slots = IdentifySlots(
            0 if self.shard is None else self.shard[0], _checked_reserve(identify_reserve)
        )
        self._gateway = DiscordGateway(
            Identification(
                intents=checked_intents(intents),
                shard=self.shard,
                presence=presence,
                large_threshold=large_threshold,
                properties=properties,
            ),
            compress=compress,
            max_size=max_size,
            scheduler=self._identify_slots,
        )
        self._gateway.url = gateway_url
        if check_flag("snapshot", snapshot):
            from ._guild_snapshot import GuildSnapshot  # noqa: PLC0415 - most programs have none

            self._gateway.snapshot = GuildSnapshot(lambda: int(self.intents)).hook
        self._presences = PresenceSender(self.send)
        url = gateway_url if gateway_url is not None else _placeholder_url(self._api_url)
        super().__init__(
            url,
            token=self._prepared_token if callable(self._discord_token) else FixedToken(self._prepared_token),
            protocol=self._gateway,
            headers=fields,
            # For the API alone, if the gateway's address turns out to be without TLS.
            ssl=ssl if gateway_url is not None or url.startswith("wss:") else None,
            proxy=proxy,
            local_address=local_address,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            ping_interval=None,  # heartbeats take its place
            silence_timeout=silence_timeout,
            silence_of=silence_of,
            max_size=max_size,
            reconnect=reconnect,
            outbox=outbox,
            on_error=on_error,
            transport=transport,
            instruments=instruments,
            recorder=recorder,
        )

    @property
    def status(self) -> Status:
        """A frozen snapshot of this moment; `rtt` is that of the last heartbeat."""
        url = self._gateway.url
        status = super().status
        return dataclasses.replace(status, rtt=self._gateway.latency, url=status.url if url is None else redact(url))

    @property
    def intents(self) -> Intents:
        """The intents of the session."""
        return self._gateway.identification.intents

    @property
    def ready(self) -> Dispatch | None:
        """The newest READY; None before the first."""
        return self._gateway.ready

    def serves(self, guild_id: int | str) -> bool:
        """True if this shard receives the events of this guild."""
        return self.shard is None or shard_of(guild_id, self.shard[1]) == self.shard[0]

    async def rotate(self) -> NoReturn:
        """Raise `UsageError`: there is no rotation, as dispatches of two sessions can't be told to be the same."""
        raise UsageError(
            "a DiscordClient has no rotations: two sessions number their dispatches each for itself, so no message of "
            "one is known to be that of the other; a lost session is resumed without a gap"
        )

    async def update_presence(self, presence: Presence) -> None:
        """Set the bot's presence, now and after every login. Raises the errors of `send`.

        At most 5 updates are sent within 20 s, as Discord allows; of waiting ones only the newest is sent, and the
        calls that it replaces return with it.
        """
        payload = {"op": int(Opcode.PRESENCE_UPDATE), "d": presence.body()}
        self._gateway.encode(payload)  # raises here rather than at the next login
        self._gateway.identification.presence = presence
        await self._presences.send(payload)

    async def request_members(
        self,
        guild_id: int | str,
        *,
        query: str | None = None,
        limit: int = 0,
        user_ids: Sequence[int | str] | None = None,
        presences: bool = False,
        nonce: str | None = None,
        timeout: float = 60.0,
    ) -> Members:
        """Request the members of a guild whose name begins with `query` ("": all), or up to 100 `user_ids`.

        Parameters:
            limit: The largest number of members; 0: all.
            presences: Include presences (needs the intent GUILD_PRESENCES).
            nonce: Identifies the answer, up to 32 bytes; by default a random one.
            timeout: Seconds for the whole answer, which is sent in chunks.

        Raises `InvalidOption`, `WaitTimeout`, `RequestLimited`, `DeliveryUnknown` (a new session began meanwhile:
        request again), and the errors of `send`.
        """
        request = GuildMembersRequest.check(
            guild_id,
            query=query,
            limit=limit,
            user_ids=user_ids,
            presences=presences,
            nonce=nonce,
            intents=self.intents,
        )
        return await request_members(self, request, check_seconds("timeout", timeout))

    async def aclose(self) -> None:
        """Close the client for good, as `Client.aclose`."""
        try:
            await super().aclose()
        finally:
            await self._identify_slots.aclose()

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _prepared_token(self, previous: str | None, refusal: OnesocketError | None) -> str:
        """Prepare the login of an attempt; returns the token."""
        source = self._discord_token
        answer = (
            await call_user_function(lambda: call_token_source(source, previous, refusal))
            if callable(source)
            else source
        )
        token = check_token(answer).removeprefix("Bot ")
        self._identify_slots.token_state = token_state = TOKEN_STATES.of(self._api_url, token)
        self._gateway.take_up_session(token)
        if self._gateway.session is None or self._gateway.url is None:
            try:
                await self._find_gateway(token_state, token)
                self._identify_slots.check(asyncio.get_running_loop().time())
            except OnesocketError as error:
                raise mark_unwrapped(error) from error.__cause__
        return token

    async def _find_gateway(self, token_state: TokenState, token: str) -> None:
        gateway_request, gateway = self._gateway_request, self._gateway
        if gateway_request is not None:
            failed = gateway.url if gateway.url_failed else None
            info = await token_state.gateway(lambda: gateway_request.send(token), failed=failed)
            gateway.url = info.url

    def _changed(self, change: Change) -> None:
        if change.new is State.STOPPED:
            self._gateway.forget_session()  # `disconnect()` ends it, even without a connection
        super()._changed(change)


def _token(token: object) -> Any:
    if isinstance(token, str):
        return check_token(token.removeprefix("Bot "))
    if not callable(token):
        raise TokenFailed(f"the token must be a str or a callable, not {type(token).__name__}")
    takes_refusal(token)
    return token


def _checked_reserve(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidOption(f"identify_reserve must be a whole number >= 0, or None, not {value!r}")
    return value


def _with_user_agent(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    given = any(name.lower() == "user-agent" for name, _ in headers)
    return headers if given else (("User-Agent", USER_AGENT), *headers)


def _check_api_proxy(proxy: ProxyOption) -> ProxyOption:
    checked = check_proxy(proxy)
    if isinstance(checked, str) and not checked.lower().startswith("http"):
        raise InvalidOption("the gateway's address can be requested through an http:// proxy only; give gateway_url=")
    return checked


def _placeholder_url(api_url: str) -> str:
    """The URL in `status` until the gateway's address is known."""
    address = parse_url(api_url, schemes=("http", "https"))
    return f"{'wss' if address.secure else 'ws'}://{address.host_port}/"
