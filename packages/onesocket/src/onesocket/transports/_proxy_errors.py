"""Typed errors for the failures of a proxy; each names the proxy and the place where it is configured."""

from __future__ import annotations

import enum
import ssl
from http import HTTPStatus

from ..errors import ProxyFailed
from ..lifecycle._peer_errors import handshake_rejected, phrase_of
from ..wire._header_fields import header_tokens, header_values
from ..wire._response_head import ResponseHead
from ._connect_errors import connect_failed, tls_reason, untrusted, without_tracebacks
from ._proxy import Proxy
from ._tunnel import MalformedResponse


class ProxyStep(enum.Enum):
    """The steps of connecting through a proxy."""

    REACH = enum.auto()
    """Look up and connect to the proxy."""
    TLS = enum.auto()
    """The TLS handshake with the proxy itself."""
    REQUEST = enum.auto()
    """CONNECT, or the dialog of SOCKS."""


def proxy_failed(error: Exception, proxy: Proxy, target: str, step: ProxyStep) -> ProxyFailed:
    """Return the error for an exception before the proxy had connected to `target` (host:port)."""
    failure = _proxy_failure(error, proxy, target, step)
    failure.__cause__ = without_tracebacks(error)
    return failure


def connect_rejected(head: ResponseHead, proxy: Proxy, target: str) -> ProxyFailed:
    """Return the error for an HTTP response to CONNECT that is not 2xx."""
    verdict = handshake_rejected(head.status, dict(head.headers))  # a status means the same as from the server
    text = f"{proxy.name} did not connect to {target}: HTTP {head.status} {phrase_of(head.status)}".rstrip()
    if head.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        text += f"; {_authentication_hint(head, proxy)}"
    if verdict.retryable and verdict.retry_after is not None:
        text += f" (try again in {verdict.retry_after:g} s)"
    return ProxyFailed(text, retryable=verdict.retryable, status=head.status, retry_after=verdict.retry_after)


def _authentication_hint(head: ResponseHead, proxy: Proxy) -> str:
    # A challenge begins with its scheme; commas also separate parameters, which are no schemes of interest.
    offered = {token.partition(" ")[0] for token in header_tokens(header_values(head.headers, "proxy-authenticate"))}
    if offered and "basic" not in offered:
        return f"of the authentication schemes only Basic is supported, and it wants {' or '.join(sorted(offered))}"
    if proxy.address.authorization is None:
        return f"put user:password@ into {proxy.remedy}"
    return f"check the user name and the password in {proxy.remedy}"


def _proxy_failure(error: Exception, proxy: Proxy, target: str, step: ProxyStep) -> ProxyFailed:
    match error:
        case ssl.SSLCertVerificationError():
            why = untrusted(
                error,
                unknown="add its CA to the system's trust (or SSL_CERT_FILE)",
                wrong_name=f"check the host in {proxy.remedy}",
            )
            return ProxyFailed(f"{proxy.name} can't be used: the certificate can't be trusted: {why}", retryable=False)
        case ssl.SSLError():
            text = f"no TLS: {tls_reason(error)}; if it speaks plain HTTP, use http:// in {proxy.remedy}"
            return ProxyFailed(f"{proxy.name} can't be used: {text}", retryable=False)
        case ConnectionError() if step is ProxyStep.REQUEST:
            return ProxyFailed(f"{proxy.name} ended the connection before it had connected to {target}")
        case ConnectionError() if step is ProxyStep.TLS:
            text = (
                f"ended the connection during the TLS handshake; if it speaks plain HTTP, use http:// in {proxy.remedy}"
            )
            return ProxyFailed(f"{proxy.name} {text}")
        case MalformedResponse():
            return ProxyFailed(
                f"{proxy.name} gave no valid answer to CONNECT: {error}; is {proxy.remedy} that of an HTTP proxy?",
                retryable=False,
            )
        case _:
            failure = connect_failed(error, proxy.address.host_port, peer="proxy")
            return ProxyFailed(f"{proxy.name} can't be used: {failure}", retryable=failure.retryable)
