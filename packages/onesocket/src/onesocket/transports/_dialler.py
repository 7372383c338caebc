"""Dials a byte stream: name resolution, TCP, proxy, TLS.

All steps come before the upgrade request, so they may be cancelled at any point, and then leave nothing open.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable
from typing import Final

from python_socks import ProxyError
from python_socks.async_.asyncio import Proxy

from .._forking import process_token
from ..errors import OnesocketError, ProxyFailed
from ..urls import Address, parse_url
from ..wire._handshake import DialRequest
from ._connect_errors import connect_failed, tls_handshake_aborted
from ._tcp import TcpSocket, open_tcp
from ._tls_write_monitor import TlsWriteMonitor
from ._tunnel import Tunnel

PROXY_SCHEMES: Final = ("http", "https", "socks4", "socks5")

# The deadline is the caller's; these layers must not have a shorter one.
_NO_TIMEOUT: Final = 86_400.0
# Seconds. After an abort the loop closes the socket within a few turns; this bounds a bug in it.
_CLOSE_GRACE: Final = 1.0


class _DialStep(enum.Enum):
    """Steps of a dial; the value is the readable phase."""

    RESOLVING = "looking up {first}"
    CONNECTING = "connecting to {first}"
    SOCKS = "connecting through the proxy {first}"
    HTTP_PROXY = "waiting for the proxy {first} to connect"
    TLS = "waiting for the TLS handshake with {target}"


PlainTransportFactory = Callable[[asyncio.Protocol, socket.socket], Awaitable[asyncio.Transport]]


class _FirstHop:
    """Replaces the first hop of python-socks, so that it uses a `TcpSocket`."""

    def __init__(self, connect: Callable[[], Awaitable[TcpSocket]]) -> None:
        self._connect = connect

    async def connect(self, **_: object) -> TcpSocket:
        """Connect to the SOCKS proxy (python-socks calls this)."""
        return await self._connect()


class Dialler:
    """Dials one byte stream."""

    def __init__(
        self,
        request: DialRequest,
        *,
        socket_kind: type[TcpSocket] = TcpSocket,
        open_plain: PlainTransportFactory | None = None,
    ) -> None:
        """`open_plain` makes the transport of a connection without TLS; by default the loop does."""
        self._request = request
        self._socket_kind = socket_kind
        self._open_plain = open_plain
        self._address = parse_url(request.url)
        self._proxy = (
            None if request.proxy is None else parse_url(request.proxy, schemes=PROXY_SCHEMES, what="proxy URL")
        )
        self._first = self._proxy or self._address
        self._loop = asyncio.get_running_loop()
        self._process = process_token()
        self._socket: TcpSocket | None = None
        self._socket_gone = asyncio.Event()
        self._step = _DialStep.RESOLVING
        self.tls_monitor: TlsWriteMonitor | None = None
        """The monitor between TLS and the socket; None without TLS."""

    @property
    def phase(self) -> str:
        """Readable description of the step that the dial waits for."""
        return self._step.value.format(first=self._first.host_port, target=self._address.host_port)

    @property
    def host_port(self) -> str:
        """`host:port` of the first hop, for messages."""
        return self._first.host_port

    async def dial(self) -> tuple[asyncio.Transport, Tunnel]:
        """Return the open stream and its present protocol. Raises the exceptions of the layers below."""
        proxy = self._proxy
        socks = self._request.proxy if (self._request.proxy or "").startswith("socks") else None
        sock = await self._connect() if socks is None else await self._through_socks(socks)
        self._socket = sock
        sock.on_close = self._socket_gone.set
        holder = Tunnel()
        try:
            transport = await self._open(holder, sock)
        except BaseException:
            sock.close()
            raise
        try:
            if proxy is not None and socks is None:
                transport = await self._through_http(transport, holder, proxy)
            if self._address.secure:
                self._step = _DialStep.TLS
                raw = transport
                transport = await self._secure(raw, holder, self._address, self._request.ssl)
                self.tls_monitor = TlsWriteMonitor.beneath(raw)
        except BaseException:
            transport.abort()
            raise
        return transport, holder

    @property
    def socket(self) -> TcpSocket:
        """The socket of the open stream. Raises RuntimeError before there is one."""
        if self._socket is None:
            raise RuntimeError("the stream isn't open yet")
        return self._socket

    def reset_on_close(self) -> None:
        """Let the end of the stream reset the connection."""
        if self._socket is not None:
            self._socket.reset_on_close()

    def deliver_on_close(self) -> None:
        """Let the kernel deliver sent bytes after the end of the stream."""
        if self._socket is not None:
            self._socket.deliver_on_close()

    async def wait_socket_closed(self) -> None:
        """Wait until the socket is closed by the layer that owns it."""
        if self._socket is None or self._socket.fileno() == -1:
            return
        try:
            async with asyncio.timeout(_CLOSE_GRACE):
                await self._socket_gone.wait()
        except TimeoutError:
            self._socket.close()

    def failure(self, error: Exception) -> OnesocketError:
        """Return the typed error for an exception of `dial()`."""
        match error:
            case OnesocketError():
                return error
            case ProxyError():
                return ProxyFailed(f"the proxy did not connect to {self._address.host_port}: {error}")
            case ConnectionError() if self._step is _DialStep.TLS:
                return tls_handshake_aborted(error, self._address.host_port)
            case _ if self._step is _DialStep.TLS:
                return connect_failed(error, self._address.host_port)
            case _ if self._proxy is not None:
                failure = connect_failed(error, self._proxy.host_port)
                proxy_failure = ProxyFailed(f"the proxy can't be used: {failure}")
                proxy_failure.retryable = failure.retryable
                proxy_failure.__cause__ = failure.__cause__
                return proxy_failure
            case _:
                return connect_failed(error, self._address.host_port)

    # --- the steps --------------------------------------------------------------------------------------------------

    async def _connect(self) -> TcpSocket:
        return await open_tcp(self._first, self._socket_kind, self._on_addresses, self._process)

    async def _open(self, holder: Tunnel, sock: TcpSocket) -> asyncio.Transport:
        try:
            if self._open_plain is not None and not self._address.secure and not self._first.secure:
                return await self._open_plain(holder, sock)
            transport, _ = await self._loop.create_connection(lambda: holder, sock=sock)
        except RuntimeError as error:
            # Collected after `loop.close()`: the layers below can't close their transport any more.
            if self._loop.is_closed() and isinstance(error.__context__, GeneratorExit):
                raise error.__context__ from None
            raise
        return transport

    def _on_addresses(self) -> None:
        self._step = _DialStep.CONNECTING

    async def _through_socks(self, url: str) -> TcpSocket:
        # python-socks needs the port in the URL.
        scheme, _, rest = url.partition("://")
        user, at, _ = rest.partition("/")[0].rpartition("@")
        proxy = Proxy.from_url(
            f"{scheme}://{user}{at}{self._first.host_port}", forward=_FirstHop(self._connect_to_socks)
        )
        sock = await proxy.connect(self._address.host, self._address.port, timeout=_NO_TIMEOUT)
        if not isinstance(sock, TcpSocket):
            raise TypeError("python-socks returned another kind of socket")
        return sock

    async def _connect_to_socks(self) -> TcpSocket:
        sock = await self._connect()
        self._step = _DialStep.SOCKS
        return sock

    async def _through_http(self, transport: asyncio.Transport, holder: Tunnel, proxy: Address) -> asyncio.Transport:
        self._step = _DialStep.HTTP_PROXY
        if proxy.secure:
            transport = await self._secure(transport, holder, proxy, None)
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        await holder.request_connect(transport, f"{host}:{self._address.port}", proxy.authorization)
        return transport

    async def _secure(
        self, transport: asyncio.Transport, holder: Tunnel, address: Address, context: ssl_module.SSLContext | None
    ) -> asyncio.Transport:
        if transport.is_closing():
            raise ConnectionResetError("the connection ended before the TLS handshake")
        if holder.take_early():
            # In TLS the client sends first, so this peer speaks another protocol.
            raise ssl_module.SSLError("it spoke first, and not TLS")
        secured = await self._loop.start_tls(
            transport,
            holder,
            context if context is not None else ssl_module.create_default_context(),
            server_hostname=address.host,
            ssl_handshake_timeout=_NO_TIMEOUT,
            ssl_shutdown_timeout=self._request.close_timeout,
        )
        if secured is None:  # asyncio returns None if the connection ended meanwhile without an error
            raise ConnectionResetError("the connection ended during the TLS handshake")
        return secured
