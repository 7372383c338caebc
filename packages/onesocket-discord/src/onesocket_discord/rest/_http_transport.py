"""One HTTP exchange on aiohttp: bounded, without redirects or cookies, its failures typed."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp
from yarl import URL

from onesocket.errors import (
    CertificateInvalid,
    ConnectFailed,
    ConnectionFailure,
    ConnectionRefused,
    InvalidOption,
    NameResolutionFailed,
    ProxyFailed,
    TLSFailed,
)
from onesocket.transports._proxy import Proxy, ProxyOption, check_proxy, find_proxy
from onesocket.transports._proxy_errors import connect_rejected
from onesocket.urls import parse_url
from onesocket.wire._response_head import ResponseHead

from ._errors import BadAnswer, RequestLost
from ._rate_limit_info import Response

MAX_BODY = 8 * 1024 * 1024
"""Bytes of an answer, decompressed; a thousand members, the largest page there is, take about one million."""
_CONNECT_TIMEOUT = 10.0
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `target` is the path with its query, `what` names the call in errors."""

    method: str
    target: str
    what: str
    body: bytes | None = None
    reason: str | None = None
    idempotent: bool = False


class HttpTransport:
    """Sends requests to one API. An own session is made at the first; a given one is never closed.

    `ssl` and `local_address` are for an own session; `proxy`: as for `Client`, but of HTTP alone, and True leaves it
    to a given session; `max_body`: bytes of an answer (None: `MAX_BODY`).
    """

    def __init__(
        self,
        api_url: str,
        headers: Iterable[tuple[str, str]],
        session: aiohttp.ClientSession | None = None,
        *,
        ssl: ssl_module.SSLContext | None = None,
        proxy: ProxyOption = True,
        local_address: str | None = None,
        max_body: int | None = None,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._headers = tuple(headers)
        self._session = session
        self._own = session is None
        self._ssl = ssl
        self._proxy: ProxyOption = None if session is not None and proxy is True else check_api_proxy(proxy)
        self._local_address = local_address
        self._max_body = max_body

    async def __call__(self, request: Request) -> Response:
        """The whole answer, whatever its status.

        Raises `ConnectFailed` (nothing was sent), `RequestLost` and `BadAnswer`; `InvalidOption` or `InvalidURL` for a
        proxy of the environment that can't be used.
        """
        proxy = self._find_proxy()
        max_body = MAX_BODY if self._max_body is None else self._max_body
        headers = [*self._headers]
        if request.body is not None:
            headers.append(("Content-Type", "application/json"))
        if request.reason is not None:
            headers.append(("X-Audit-Log-Reason", request.reason))
        try:
            async with self._get_session().request(
                request.method,
                # As it is: normalising it again could turn an encoded dot or slash into a step to elsewhere.
                URL(self._api_url + request.target, encoded=True),
                data=request.body,
                headers=headers,
                proxy=None if proxy is None else proxy.url,
                allow_redirects=False,  # the token is for this host alone
                raise_for_status=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
            ) as response:
                body = bytearray()
                while chunk := await response.content.read(_CHUNK):
                    body += chunk
                    if len(body) > max_body:
                        response.close()
                        raise BadAnswer(
                            f"{request.what}: the answer is larger than {max_body} bytes; ask for less at once",
                            status=response.status,
                        )
                return Response(
                    response.status, {name.lower(): value for name, value in response.headers.items()}, bytes(body)
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as failure:
            # The repr of a ClientResponseError shows the headers that were sent, and so the token.
            raise _typed_error(failure, request, proxy) from (
                None if isinstance(failure, aiohttp.ClientResponseError) else failure
            )

    async def aclose(self) -> None:
        """Close the session, if it is our own."""
        if self._own and self._session is not None:
            await self._session.close()

    def _find_proxy(self) -> Proxy | None:
        address = parse_url(self._api_url, schemes=("http", "https"))
        proxy = find_proxy(self._proxy, address, scheme="https" if address.secure else "http")
        if proxy is not None:
            _check_http_proxy(proxy)
        return proxy

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            local = None if self._local_address is None else (self._local_address, 0)
            connector = aiohttp.TCPConnector(ssl=self._ssl or True, local_addr=local)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def check_api_proxy(proxy: object) -> ProxyOption:
    """Return a checked option `proxy=`: one that HTTP requests can use, too. Raises `InvalidOption` or `InvalidURL`."""
    checked = check_proxy(proxy)
    if isinstance(checked, str):
        _check_http_proxy(Proxy.parse(checked))
    return checked


def _check_http_proxy(proxy: Proxy) -> None:
    if proxy.is_socks:
        raise InvalidOption(
            f"the API can be requested through an http:// or https:// proxy only, and {proxy.remedy} names one of SOCKS"
        )


def _typed_error(failure: Exception, request: Request, proxy: Proxy | None) -> ConnectionFailure:
    what = request.what
    match failure:
        case aiohttp.ClientProxyConnectionError() if proxy is not None:
            return ProxyFailed(f"{what}: {proxy.name} can't be used ({failure.strerror or type(failure).__name__})")
        case aiohttp.ClientHttpProxyError() if proxy is not None:
            head = ResponseHead("1.1", failure.status, _header_pairs(failure), is_valid=True)
            rejected = connect_rejected(head, proxy, "the API")
            rejected.args = (f"{what}: {rejected}",)
            return rejected
        case aiohttp.ClientConnectorCertificateError():
            return CertificateInvalid(f"{what}: the API's certificate can't be trusted; check api_url")
        case aiohttp.ClientSSLError():
            return TLSFailed(f"{what}: no TLS with the API; is api_url really https, and its port right?")
        case aiohttp.ClientConnectorDNSError():
            return NameResolutionFailed(f"{what}: the host name in api_url can't be resolved")
        case aiohttp.ConnectionTimeoutError():
            return ConnectFailed(f"{what}: no connection to the API within {_CONNECT_TIMEOUT:g} s")
        case aiohttp.ClientConnectorError():
            refused = type(failure) is aiohttp.ClientConnectorError  # not of a proxy
            text = f"{what}: no connection to the API ({failure.strerror or type(failure).__name__})"
            return ConnectionRefused(text) if refused else ConnectFailed(text)
        case _:
            return RequestLost(
                f"{what}: the connection broke before the answer was complete ({type(failure).__name__}); "
                "it may or may not have been done",
                retryable=request.idempotent,
            )


def _header_pairs(failure: aiohttp.ClientHttpProxyError) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in (failure.headers or {}).items())
