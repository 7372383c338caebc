"""Requests the gateway's address: `GET /gateway/bot` (bots) or `GET /gateway`."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Mapping
from dataclasses import dataclass

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
    ProxyFailed,
    ServerBusy,
)
from onesocket.lifecycle._peer_errors import parse_retry_after
from onesocket.transports._proxy import ProxyOption
from onesocket.urls import parse_url, redact

from ..protocol._api import USER_AGENT
from ..protocol._limits import IDENTIFY_RESET, IDENTIFY_TOTAL
from ._identify_budget import SessionStartLimit

_MAX_RESPONSE_SIZE = 1 << 16
"""Bytes of the answer; Discord's has 300."""


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
    proxy: ProxyOption = None
    local_address: str | None = None
    headers: tuple[tuple[str, str], ...] = (("User-Agent", USER_AGENT),)
    """Headers of the request besides the token's."""

    async def send(self, token: str) -> GatewayInfo:
        """Send the request.

        Raises `LoginRefused` (401), `ServerBusy` (429), `HandshakeRejected` (other statuses), `ConnectFailed`,
        `DecodeError`; `InvalidOption` or `InvalidURL` for a proxy of the environment that can't be used.
        """
        # Not at the start of every `onesocket` command: importing aiohttp takes 0.1 s.
        from ..rest._errors import BadAnswer, RequestLost  # noqa: PLC0415
        from ..rest._http_transport import HttpTransport, Request  # noqa: PLC0415

        bot = self.token_type == "Bot"  # noqa: S105 - the kind of a token
        path = f"/gateway{'/bot' if bot else ''}"
        url = self.api_url.rstrip("/") + path
        # A Host is meant for the gateway.
        headers = [(name, value) for name, value in self.headers if name.lower() not in ("authorization", "host")]
        headers.append(("Authorization", f"{self.token_type} {token}" if self.token_type else token))
        transport = HttpTransport(
            self.api_url,
            headers,
            ssl=self.ssl,
            proxy=self.proxy,
            local_address=self.local_address,
            max_body=_MAX_RESPONSE_SIZE,
        )
        try:
            async with asyncio.timeout(self.timeout):
                answer = await transport(Request("GET", path, redact(url)))
        except ProxyFailed:
            raise
        except (TimeoutError, ConnectFailed, RequestLost) as error:
            # Errors that cost the service nothing are retried sooner: see `ReconnectPolicy`.
            kind = type(error) if isinstance(error, ConnectionRefused | NameResolutionFailed) else ConnectFailed
            raise kind(f"{redact(url)} can't be reached: {type(error.__cause__ or error).__name__}") from error
        except BadAnswer as error:
            raise DecodeError(f"{redact(url)} did not name the gateway: {error}") from error
        finally:
            await transport.aclose()
        if answer.status != 200:
            raise _status_error(answer.status, answer.headers, url)
        return _parse_response(answer.body, url, bot=bot)


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


def _status_error(status: int, headers: Mapping[str, str], url: str) -> PeerError:
    text = f"{redact(url)} answered with HTTP {status}"
    if status == 401:
        return LoginRefused(f"{text}: the token is wrong: check it (the Bot page of the developer portal)")
    retry_after = parse_retry_after(headers.get("retry-after"), headers.get("date"))
    if status == 429:
        return ServerBusy(f"{text}: too many requests", retry_after=retry_after)
    hint = "" if status >= 500 else "; check api_url="
    return HandshakeRejected(text + hint, status=status, retryable=status >= 500, retry_after=retry_after)
