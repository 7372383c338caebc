"""Requests the gateway's address: `GET /gateway/bot` (bots) or `GET /gateway`."""

from __future__ import annotations

import importlib.metadata
import ssl as ssl_module
from dataclasses import dataclass
from typing import Any

import msgspec

from onesocket.errors import (
    ConnectFailed,
    ConnectionRefused,
    DecodeError,
    HandshakeRejected,
    InvalidURL,
    LoginRefused,
    NameResolutionFailed,
    PeerError,
    ServerBusy,
)
from onesocket.lifecycle._peer_errors import parse_retry_after
from onesocket.urls import parse_url, redact

from ..protocol._limits import IDENTIFY_RESET, IDENTIFY_TOTAL
from ._identify_budget import SessionStartLimit

API_URL = "https://discord.com/api/v10"
MAX_RESPONSE_SIZE = 1 << 16
"""Bytes of the answer; Discord's has 300."""
USER_AGENT = f"DiscordBot (onesocket, {importlib.metadata.version('onesocket')})"
"""The form that Discord asks for; without it, its edge refuses requests."""


@dataclass(frozen=True, slots=True)
class GatewayInfo:
    """The decoded answer."""

    url: str
    shards: int | None = None
    """The recommended number of shards."""
    limit: SessionStartLimit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayInfoRequest:
    """The parameters of the request; the repr shows no token."""

    api_url: str
    token_type: str | None
    timeout: float
    ssl: ssl_module.SSLContext | None = None
    proxy: str | None = None
    headers: tuple[tuple[str, str], ...] = (("User-Agent", USER_AGENT),)
    """Headers of the request besides the token's."""

    async def send(self, token: str) -> GatewayInfo:
        """Send the request.

        Raises `LoginRefused` (401), `ServerBusy` (429), `HandshakeRejected` (other statuses), `ConnectFailed`,
        `DecodeError`.
        """
        import aiohttp  # noqa: PLC0415 - 0.1 s that every `onesocket` command would pay

        bot = self.token_type == "Bot"  # noqa: S105 - the kind of a token
        url = f"{self.api_url.rstrip('/')}/gateway{'/bot' if bot else ''}"
        authorization = f"{self.token_type} {token}" if self.token_type else token
        headers = [(name, value) for name, value in self.headers if name.lower() != "authorization"]
        headers.append(("Authorization", authorization))
        connector = aiohttp.TCPConnector(ssl=self.ssl or True, force_close=True)
        timeout = aiohttp.ClientTimeout(total=self.timeout)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                # Not followed: the token would go along.
                session.get(url, headers=headers, proxy=self.proxy, allow_redirects=False) as response,
            ):
                body = bytearray()
                while len(body) < MAX_RESPONSE_SIZE and (
                    piece := await response.content.read(MAX_RESPONSE_SIZE - len(body))
                ):
                    body += piece
                status, answered = response.status, {name.lower(): value for name, value in response.headers.items()}
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # Errors that cost the service nothing are retried sooner: see `ReconnectPolicy`.
            kind = ConnectFailed
            if isinstance(error, aiohttp.ClientConnectorDNSError):
                kind = NameResolutionFailed
            elif type(error) is aiohttp.ClientConnectorError:  # not its kinds: TLS, a proxy
                kind = ConnectionRefused
            raise kind(f"{redact(url)} can't be reached: {type(error).__name__}") from error
        if status != 200:
            raise _status_error(status, answered, url)
        return _parse_response(bytes(body), url, bot=bot)


class _SessionStartLimit(msgspec.Struct):
    total: int = IDENTIFY_TOTAL
    remaining: int = IDENTIFY_TOTAL
    reset_after: float = IDENTIFY_RESET * 1000
    max_concurrency: int = 1


class _GatewayResponse(msgspec.Struct):
    url: str
    shards: int | None = None
    session_start_limit: _SessionStartLimit | None = None


def _parse_response(body: bytes, url: str, *, bot: bool) -> GatewayInfo:
    try:
        answer = msgspec.json.decode(body, type=_GatewayResponse)
        gateway = parse_url(answer.url, what="gateway URL").url
    except (msgspec.DecodeError, InvalidURL, RecursionError, UnicodeError) as error:
        raise DecodeError(f"{redact(url)} did not name the gateway: {error}") from error
    if url.startswith("https:") and not gateway.startswith("wss:"):
        raise LoginRefused(
            f"{redact(url)} names a gateway without TLS, and the token would go there; give gateway_url="
        )
    given = answer.session_start_limit if bot else None
    limit = None
    if given is not None:
        limit = SessionStartLimit(
            total=max(given.total, 0),
            remaining=max(given.remaining, 0),
            reset_after=max(given.reset_after / 1000, 0.0),
            max_concurrency=max(given.max_concurrency, 1),
        )
    return GatewayInfo(gateway, answer.shards, limit)


def _status_error(status: int, headers: dict[str, Any], url: str) -> PeerError:
    text = f"{redact(url)} answered with HTTP {status}"
    if status == 401:
        return LoginRefused(f"{text}: the token is wrong: check it (the Bot page of the developer portal)")
    retry_after = parse_retry_after(headers.get("retry-after"), headers.get("date"))
    if status == 429:
        return ServerBusy(f"{text}: too many requests", retry_after=retry_after)
    hint = "" if status >= 500 else "; check api_url="
    return HandshakeRejected(text + hint, status=status, retryable=status >= 500, retry_after=retry_after)
