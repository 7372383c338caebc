"""Dials a byte stream: name resolution, TCP or a Unix socket, proxy, TLS.

All steps come before the upgrade request, so they may be cancelled at any point, and then leave nothing open.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import ssl as ssl_module
from collections.abc import Callable
from typing import Final

from .._forking import FORK_LOCK, process_token
from ..errors import OnesocketError
from ..wire._handshake import DialRequest
from ._connect_errors import connect_failed, tls_handshake_aborted
from ._default_tls_context import default_tls_context
from ._proxy import Proxy, find_proxy
from ._proxy_errors import ProxyStep, connect_rejected, proxy_failed
from ._socket_transport import open_transport
from ._tcp import TcpSocket, open_tcp, open_unix, resolve
from ._tls_write_monitor import TlsWriteMonitor
from ._tunnel import Tunnel

# The deadline is the caller's; these layers must not have a shorter one.
_NO_TIMEOUT: Final = 86_400.0
# Seconds. After an abort the loop closes the socket within a few turns; this bounds a bug in it.
_CLOSE_GRACE: Final = 1.0
# Seconds that the peer has to answer the end of TLS, which comes behind all bytes: some never do.
_TLS_GOODBYE: Final = 0.5


class _DialStep(enum.Enum):
    """Steps of a dial; the value is the readable phase. `first` is the proxy, or the target if there is none."""

    RESOLVING_TARGET = "looking up {target}"
    RESOLVING = "looking up {first}"
    CONNECTING = "connecting to {first}"
    PROXY_TLS = "waiting for the TLS handshake with {first}"
    PROXY = "waiting for {first} to connect to {target}"
    TLS = "waiting for the TLS handshake with {target}"


_PROXY_STEPS: Final = {
    _DialStep.RESOLVING: ProxyStep.REACH,
    _DialStep.CONNECTING: ProxyStep.REACH,
    _DialStep.PROXY_TLS: ProxyStep.TLS,
    _DialStep.PROXY: ProxyStep.REQUEST,
}
"""The steps that fail because of the proxy, if there is one."""


class Dialler:
    """Dials one byte stream.

    `may_dial`: False once another process or thread may have the connection; None: none ever has it.
    """

    def __init__(self, request: DialRequest, may_dial: Callable[[], bool] | None = None) -> None:
        self._request = request
        self._may_dial = may_dial
        self._address = request.address
        self._proxy: Proxy | None = None
        self._loop = asyncio.get_running_loop()
        self._process = process_token()
        self._socket: TcpSocket | None = None
        self._made: list[TcpSocket] = []
        """The sockets that it has tried to connect."""
        self._socket_gone: asyncio.Future[None] | None = None
        self._step = _DialStep.RESOLVING
        self.tls_monitor: TlsWriteMonitor | None = None
        """The monitor between TLS and the socket; None without TLS."""

    @property
    def phase(self) -> str:
        """Readable description of the step that the dial waits for."""
        first = self._address.host_port if self._proxy is None else self._proxy.name
        return self._step.value.format(first=first, target=self._target)

    @property
    def host_port(self) -> str:
        """`host:port` of the server, for messages."""
        return self._address.host_port

    async def dial(self) -> tuple[asyncio.Transport, Tunnel]:
        """Return the open stream and its present protocol. Raises the exceptions of the layers below."""
        proxy = self._proxy = find_proxy(self._request.proxy, self._address)
        sock = await (self._through_socks(proxy) if proxy is not None and proxy.is_socks else self._connect())
        self._socket = sock
        self._made.clear()
        sock.on_close = self._on_socket_closed
        holder = Tunnel()
        try:
            transport = await self._open(holder, sock)
        except BaseException:
            sock.close()
            raise
        try:
            if proxy is not None and not proxy.is_socks:
                transport = await self._through_http(transport, holder, proxy)
            if self._address.secure:
                self._step = _DialStep.TLS
                raw = transport
                name = self._request.server_hostname or self._address.host
                transport = await self._secure(raw, holder, name, self._request.ssl)
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

    def descriptors(self) -> list[int]:
        """Return the descriptors of its sockets that are open."""
        sockets = self._made if self._socket is None else [self._socket]
        return [descriptor for descriptor in (sock.fileno() for sock in sockets) if descriptor >= 0]

    def close_sockets(self) -> None:
        """Close its sockets, of a loop that is closed."""
        for sock in self._made if self._socket is None else [self._socket]:
            sock.on_close = None
            sock.close()

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
                self._socket_gone = self._loop.create_future()
                await self._socket_gone
        except TimeoutError:
            self._socket.close()

    def _on_socket_closed(self) -> None:
        if self._socket_gone is not None and not self._socket_gone.done():
            self._socket_gone.set_result(None)

    def failure(self, error: Exception) -> OnesocketError:
        """Return the typed error for an exception of `dial()`."""
        proxy = self._proxy
        if isinstance(error, OnesocketError):
            return error.with_traceback(None)  # it refers to the ended attempt: no cycle is left
        if proxy is not None and self._step in _PROXY_STEPS:
            return proxy_failed(error, proxy, self._address.host_port, _PROXY_STEPS[self._step])
        if isinstance(error, ConnectionError) and self._step is _DialStep.TLS:
            return tls_handshake_aborted(error, self._target)
        failure = connect_failed(error, self._target, local_address=self._request.local_address)
        if proxy is not None and self._step is _DialStep.RESOLVING_TARGET:
            failure.args = (f"{failure}; with {proxy.resolving_scheme}:// the proxy looks it up",)
        return failure

    # --- the steps --------------------------------------------------------------------------------------------------

    @property
    def _target(self) -> str:
        """The server, and the proxy before it."""
        if self._proxy is None or self._step is not _DialStep.TLS:
            return self._address.host_port
        return f"{self._address.host_port} (through {self._proxy.name})"

    @property
    def _has_tls(self) -> bool:
        return self._address.secure or (self._proxy is not None and self._proxy.address.secure)

    async def _connect(self) -> TcpSocket:
        if self._address.unix_path:
            self._step = _DialStep.CONNECTING
            return await open_unix(self._address.unix_path, self._process, self._on_made)
        first = self._address if self._proxy is None else self._proxy.address
        self._step = _DialStep.RESOLVING
        local_address = self._request.local_address
        return await open_tcp(first, self._on_addresses, self._process, local_address=local_address, made=self._on_made)

    def _on_made(self, sock: TcpSocket) -> None:
        self._check_permission()  # which may take a while
        with FORK_LOCK:  # under which another thread gives the connection away, and closes what is in the list
            self._check_permission()
            self._made.append(sock)

    def _check_permission(self) -> None:
        if self._may_dial is not None and not self._may_dial():
            raise ConnectionAbortedError("another process or thread may have the connection by now")

    async def _open(self, holder: Tunnel, sock: TcpSocket) -> asyncio.Transport:
        try:
            if not self._has_tls:
                return await open_transport(holder, sock)
            transport, _ = await self._loop.create_connection(lambda: holder, sock=sock)
        except RuntimeError as error:
            # Collected after `loop.close()`: the layers below can't close their transport any more.
            if self._loop.is_closed() and isinstance(error.__context__, GeneratorExit):
                raise error.__context__ from None
            raise
        return transport

    def _on_addresses(self) -> None:
        self._step = _DialStep.CONNECTING

    async def _through_socks(self, proxy: Proxy) -> TcpSocket:
        from ._socks import connect_through_socks  # noqa: PLC0415 - its library takes 10 ms

        host = self._address.host
        if not proxy.resolves_names:
            self._step = _DialStep.RESOLVING_TARGET
            family = socket.AF_INET if proxy.scheme == "socks4" else socket.AF_UNSPEC
            host = await resolve(self._address, family)
        return await connect_through_socks(proxy, host, self._address.port, self._connect_to_socks)

    async def _connect_to_socks(self) -> TcpSocket:
        sock = await self._connect()
        self._step = _DialStep.PROXY
        return sock

    async def _through_http(self, transport: asyncio.Transport, holder: Tunnel, proxy: Proxy) -> asyncio.Transport:
        if proxy.address.secure:
            self._step = _DialStep.PROXY_TLS
            transport = await self._secure(transport, holder, proxy.address.host, None)
        self._step = _DialStep.PROXY
        try:
            head = await holder.request_connect(transport, self._address.host_port, proxy.address.authorization)
            if not 200 <= head.status < 300:
                raise connect_rejected(head, proxy, self._address.host_port)
        except BaseException:
            transport.abort()
            raise
        return transport

    async def _secure(
        self, transport: asyncio.Transport, holder: Tunnel, name: str, context: ssl_module.SSLContext | None
    ) -> asyncio.Transport:
        if context is None:
            context = await default_tls_context()
        if transport.is_closing():
            raise ConnectionResetError("the connection ended before the TLS handshake")
        if holder.take_early():
            # In TLS the client sends first, so this peer speaks another protocol.
            raise ssl_module.SSLError("it spoke first, and not TLS")
        secured = await self._loop.start_tls(
            transport,
            holder,
            context,
            server_hostname=_tls_name(name),
            ssl_handshake_timeout=_NO_TIMEOUT,
            ssl_shutdown_timeout=min(self._request.close_timeout, _TLS_GOODBYE),
        )
        if secured is None:  # asyncio returns None if the connection ended meanwhile without an error
            raise ConnectionResetError("the connection ended during the TLS handshake")
        return secured


def _tls_name(host: str) -> str:
    """Return a host name as SNI and certificates have it: without the dot at its end (RFC 6066, section 3)."""
    return host.rstrip(".").partition("%")[0]  # nor is the scope of an IPv6 address in a certificate
