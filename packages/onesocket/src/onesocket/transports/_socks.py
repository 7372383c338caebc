"""Connects through a SOCKS proxy, by the library python-socks. Imported only where there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy as SocksClient

from ..errors import ProxyFailed
from ._connect_errors import without_tracebacks
from ._proxy import Proxy
from ._tcp import TcpSocket

# The deadline is the caller's; this layer must not have a shorter one.
_NO_TIMEOUT: Final = 86_400.0
# Replies that no retry changes: RFC 1928, section 6 (not allowed; command or address type not supported), and of
# SOCKS 4 those about the user (92, 93).
_FINAL_REPLIES: Final = frozenset({2, 7, 8, 92, 93})


class _FirstHop:
    """Replaces the first hop of python-socks, so that it uses a `TcpSocket`."""

    def __init__(self, connect: Callable[[], Awaitable[TcpSocket]]) -> None:
        self._connect = connect

    async def connect(self, **_: object) -> TcpSocket:
        """Connect to the SOCKS proxy (python-socks calls this)."""
        return await self._connect()


async def connect_through_socks(
    proxy: Proxy, host: str, port: int, connect: Callable[[], Awaitable[TcpSocket]]
) -> TcpSocket:
    """Let the proxy, to which `connect` connects, connect to `host`, a name or an IP address.

    Raises `ProxyFailed` if it refuses, else the exceptions of `connect` and of the socket. It may be cancelled at any
    point, and leaves nothing open then.
    """
    first_hop: Any = _FirstHop(connect)
    client = SocksClient(
        ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5,
        proxy.address.host,
        proxy.address.port,
        proxy.user,
        proxy.password,
        rdns=True,  # a name that is to be looked up here is an IP address by now
        forward=first_hop,
    )
    try:
        sock = await client.connect(host, port, timeout=_NO_TIMEOUT)
    except ProxyError as error:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise _refusal(error, proxy, target) from without_tracebacks(error)
    if not isinstance(sock, TcpSocket):
        raise TypeError("python-socks returned another kind of socket")
    return sock


def _refusal(error: ProxyError, proxy: Proxy, target: str) -> ProxyFailed:
    text = f"{proxy.name} did not connect to {target}: {error}"
    if error.error_code is not None or "reply code" in str(error):  # python-socks gives no number of an unknown one
        return ProxyFailed(text, retryable=error.error_code not in _FINAL_REPLIES)
    if type(error.__cause__).__name__ == "IncompleteReadError":  # private there
        return ProxyFailed(f"{proxy.name} ended the connection before it had connected to {target}")
    if "authentication" in str(error).lower():
        return ProxyFailed(f"{text}; check the user name and the password in {proxy.remedy}", retryable=False)
    return ProxyFailed(f"{text}; is {proxy.remedy} that of a SOCKS proxy?", retryable=False)
