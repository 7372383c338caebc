"""The default transport: picows' core API behind the port.

What picows' core leaves to its user is done here: the close handshake, PONGs, the size limit over all fragments, UTF-8,
a fair share of the loop, and an end that is awaited. `ws_connect` must not be cancelled during the handshake (2.3.1
leaks a live socket then), so nothing here ever cancels it: the socket is ours, and shutting it down ends the handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

import picows
from python_socks import ProxyError

from ..errors import (
    ClientClosed,
    ConnectAborted,
    InvalidText,
    InvalidUpgrade,
    MessageTooBig,
    OnesocketError,
    ProtocolViolation,
    ProxyFailed,
)
from ..lifecycle.verdicts import line_lost, upgrade_refused
from ..urls import parse_url
from ..wire import Data, DialRequest, Handshake
from .base import LineEvents
from .failures import connect_failed, tls_cut_off
from .picows_listener import Listener
from .tcp import WatchedSocket, open_tcp

# After the socket was shut down, the layers above it end within a few turns of the loop; this bounds a bug in them.
_ABORT_GRACE: Final = 1.0
_NO_LIMIT: Final = 2**62
_BODY_EXCERPT: Final = 200

# picows logs whole requests at its debug level, tokens included, and violations that we report as typed errors. Not by
# getLogger(): nobody's configuration of loggers shall switch this one on.
_SILENT: Final = logging.Logger("onesocket.transports.picows", level=logging.CRITICAL + 1)  # noqa: LOG001


class _Log(logging.LoggerAdapter[logging.Logger]):
    """What picows logs to. Nothing is written, but its one ERROR says that its parser refuses a frame.

    That comes before picows sends its CLOSE, and nothing else says so in time.
    """

    def __init__(self, listener: Listener) -> None:
        super().__init__(_SILENT, {})
        self._listener = listener

    def error(self, *_: object, **__: object) -> None:
        """The parser refuses a frame."""
        self._listener.parser_refuses()


class PicowsTransport:
    """Makes lines on picows' core."""

    name = "picows"

    def __repr__(self) -> str:
        return f"<PicowsTransport {picows.__version__}>"  # type: ignore[attr-defined]

    def dial(self, request: DialRequest, events: LineEvents, received: Callable[[Data], object]) -> PicowsLine:
        """Start opening one line."""
        return PicowsLine(request, events, received)


class _Socket(WatchedSocket):
    """A socket that tells when it was closed, and leaves no trace in the event loop."""

    def close(self) -> None:
        """Close it.

        aiofastnet 1.2 may have given it to the event loop's selector after it had decided to close it; a registration
        that outlives the descriptor would trip whoever gets the same number next.
        """
        if self.fileno() != -1:
            with contextlib.suppress(Exception):  # no loop, or not registered
                asyncio.get_running_loop().remove_reader(self.fileno())
        super().close()


class PicowsLine:
    """One WebSocket on picows."""

    def __init__(self, request: DialRequest, events: LineEvents, received: Callable[[Data], object]) -> None:
        self._request = request
        self._events = events
        self._listener = Listener(events, received, request.max_size)
        self._target = (
            parse_url(request.url)
            if request.proxy is None
            else parse_url(request.proxy, schemes=("http", "https", "socks4", "socks5"), what="proxy URL")
        )
        self._phase = f"looking up {self._target.where}"
        self._close_wanted: tuple[int, str] | None = None
        self._aborted = False
        self._socket: _Socket | None = None
        self._loop = asyncio.get_running_loop()
        self._connecting: asyncio.Task[_Socket] | None = None
        self._socket_gone = asyncio.Event()
        self._task = self._loop.create_task(self._live(), name=f"onesocket line to {self._target.where}")
        self._task.add_done_callback(self._task_done)

    def __repr__(self) -> str:
        return f"<PicowsLine {self._phase}>"

    # --- the port ---------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """What it's waiting for, for people."""
        return self._phase

    @property
    def messages(self) -> int:
        """Grows with whatever shows that somebody is there."""
        return self._listener.evidence

    @property
    def is_reading(self) -> bool:
        """Whether the socket is being read."""
        return self._listener.is_reading

    def hand_to(self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None) -> None:
        """Hand every message to this from now on."""
        self._listener.hand_to(received, many)

    def send(self, data: Data) -> bool:
        """Write one message; False when none is taken any more."""
        return self._listener.send(data)

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        self._listener.ping(payload)

    def close(self, code: int, reason: str) -> None:
        """End it in order."""
        if self._listener.transport is not None:
            self._listener.close(code, reason)
        elif self._close_wanted is None:
            self._close_wanted = (code, reason)
            if self._connecting is not None:
                self._connecting.cancel()

    def abort(self, code: int | None = None) -> None:
        """End it now."""
        self._aborted = True
        if self._listener.transport is not None:
            self._listener.abort(code)
        elif self._connecting is not None:
            self._connecting.cancel()
        else:
            self._shut_down()

    def pause_reading(self) -> None:
        """Hand over nothing more until `resume_reading`."""
        self._listener.pause()

    def resume_reading(self) -> None:
        """Go on."""
        self._listener.resume()

    # --- its life ---------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        error: OnesocketError = ConnectAborted("the line was given up")
        try:
            error = await self._open_and_serve()
            if self._aborted:
                error = ConnectAborted("the line was aborted")
        except asyncio.CancelledError:
            # Only the end of the loop itself cancels this task: leave nothing open, and let it go on ending.
            self._shut_down()
            error = ClientClosed("the event loop is ending")
            raise
        finally:
            self._end(error)

    def _end(self, error: OnesocketError) -> None:
        if self._phase != "over":
            self._phase = "over"
            self._events.ended(error)

    def _task_done(self, _task: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step runs no `finally`.
        self._end(ClientClosed("the event loop is ending"))

    async def _open_and_serve(self) -> OnesocketError:
        if self._is_given_up():
            return ConnectAborted("given up before the upgrade was asked for")
        try:
            sock = await self._connect()
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return ConnectAborted("given up before the upgrade was asked for")
        except Exception as error:  # noqa: BLE001 - whatever the network does becomes a typed error
            if self._is_given_up():  # cancelling a connect can show as any error
                return ConnectAborted("given up before the upgrade was asked for")
            return self._connect_error(error)
        if self._is_given_up():  # in the very turn in which it connected
            sock.close()
            return ConnectAborted("given up before the upgrade was asked for")
        try:
            transport = await self._upgrade(sock)
        except Exception as error:  # noqa: BLE001 - as above
            await self._await_socket_end()
            return self._upgrade_error(error)
        if transport is None:
            await self._await_socket_end()
            return line_lost("during the upgrade")
        return await self._serve(transport)

    def _is_given_up(self) -> bool:
        return self._close_wanted is not None or self._aborted

    async def _connect(self) -> _Socket:
        self._connecting = self._loop.create_task(open_tcp(self._target, _Socket, self._found))
        try:
            # A line that is given up cancels only this inner task: no upgrade was asked for, so nothing can leak.
            return await self._connecting
        except asyncio.CancelledError:
            done = self._connecting
            if done.done() and not done.cancelled() and done.exception() is None:
                done.result().close()  # it connected in the turn in which we were cancelled
            raise
        finally:
            self._connecting = None

    def _found(self) -> None:
        self._phase = f"connecting to {self._target.where}"

    async def _upgrade(self, sock: _Socket) -> picows.WSTransport | None:
        self._socket = sock
        sock.on_close = self._socket_gone.set
        request = self._request
        secure = request.url.startswith("wss:")
        self._phase = "waiting for the answer to the upgrade" + (" (TLS included)" if secure else "")
        headers = list(request.headers)
        if request.subprotocols:
            headers.append(("Sec-WebSocket-Protocol", ", ".join(request.subprotocols)))
        tls: dict[str, Any] = {"ssl_shutdown_timeout": request.close_timeout} if secure else {}
        transport, listener = await picows.ws_connect(  # pyright: ignore[reportUnknownMemberType] - its **kwargs
            self._make_listener,
            request.url,
            ssl_context=request.ssl,
            websocket_handshake_timeout=None,
            logger_name=_Log(self._listener),
            enable_auto_pong=False,
            max_frame_size=request.max_size or _NO_LIMIT,
            extra_headers=headers,
            # A redirect would take the token along to wherever it points.
            max_redirects=0,
            proxy=request.proxy,
            socket_factory=lambda _url: sock,
            # aiofastnet 1.2 takes an end of line during the TLS handshake for an error nobody handles, and logs it; the
            # loop's own TLS is silent, and its errors say more.
            use_aiofastnet=False if secure else None,
            **tls,
        )
        # picows returns no listener when the server hangs up in the middle of the upgrade.
        return transport if isinstance(listener, Listener) else None

    def _make_listener(self, _request: picows.WSUpgradeRequest, response: picows.WSUpgradeResponse) -> Listener:
        headers = {name.lower(): value for name, value in response.headers.items()}
        chosen = headers.get("sec-websocket-protocol")
        offered = self._request.subprotocols
        if chosen is not None and chosen not in offered:
            raise InvalidUpgrade(f"the server chose a sub-protocol that was not offered (offered: {list(offered)})")
        if headers.get("sec-websocket-extensions"):
            raise InvalidUpgrade("the server switched on an extension that was not offered")
        self._listener.handshake = Handshake(chosen, tuple(headers.items()))
        self._listener.on_open = self._opened
        return self._listener

    def _opened(self) -> None:
        self._phase = "open"
        if self._aborted:
            self._listener.abort(None)
            return
        self._events.opened(self._listener.handshake)
        if self._close_wanted is not None:
            self._listener.close(*self._close_wanted)

    async def _serve(self, transport: picows.WSTransport) -> OnesocketError:
        try:
            await transport.wait_disconnected()
        except picows.WSProtocolError as error:
            await self._await_socket_end()
            await self._listener.drained()
            return line_lost() if self._listener.was_closed else _violation(error)
        except Exception as error:  # noqa: BLE001 - whatever the layers below raise becomes a typed error
            await self._await_socket_end()
            lost = line_lost(type(error).__name__)
            lost.__cause__ = error
            return lost
        await self._await_socket_end()
        await self._listener.drained()
        return self._listener.violation or line_lost()

    # --- its end ----------------------------------------------------------------------------------------------------

    def _shut_down(self) -> None:
        if self._socket is not None and self._socket.fileno() != -1:
            with contextlib.suppress(OSError):  # not connected any more
                self._socket.shutdown(socket.SHUT_RDWR)

    async def _await_socket_end(self) -> None:
        """The layers above close the socket; "nothing is left" is said only after that."""
        if self._socket is None or self._socket.fileno() == -1:
            return
        self._shut_down()
        try:
            async with asyncio.timeout(_ABORT_GRACE):
                await self._socket_gone.wait()
        except TimeoutError:
            self._socket.close()

    def _connect_error(self, error: Exception) -> OnesocketError:
        failure = connect_failed(error, self._target.where)
        if self._request.proxy is None:
            return failure
        text = f"the proxy can't be used: {failure}"
        proxy_failure = ProxyFailed(text)
        proxy_failure.retryable = failure.retryable
        proxy_failure.__cause__ = failure.__cause__
        return proxy_failure

    def _upgrade_error(self, error: Exception) -> OnesocketError:
        """Handshake exceptions hold the server's whole answer, which may echo a token: they are not chained."""
        where = parse_url(self._request.url).where
        match error:
            case OnesocketError():
                return error
            case picows.WSInvalidStatusError(response=picows.WSUpgradeResponse() as response):
                headers = {name.lower(): value for name, value in response.headers.items()}
                return upgrade_refused(int(response.status), headers, self._excerpt(error.raw_body))
            case picows.WSHandshakeError():
                why = self._request.scrub(str(error))[:_BODY_EXCERPT]
                return InvalidUpgrade(f"{where} did not answer with a WebSocket upgrade: {why}")
            case ProxyError():
                return ProxyFailed(f"the proxy did not pass us on to {where}: {error}")
            case ConnectionError() if self._request.url.startswith("wss:"):
                return tls_cut_off(error, where)
            case _:
                return connect_failed(error, where)

    def _excerpt(self, body: bytes | None) -> str:
        text = (body or b"").decode("utf-8", "replace").strip()
        text = "".join(character if character.isprintable() else " " for character in text)
        return self._request.scrub(text)[:_BODY_EXCERPT]


def _violation(error: picows.WSProtocolError) -> ProtocolViolation:
    code = int(error.code.value if hasattr(error.code, "value") else error.code)
    kinds = {MessageTooBig.code: MessageTooBig, InvalidText.code: InvalidText}
    kind = kinds.get(code, ProtocolViolation)
    hint = "; raise max_size= if it is meant to" if kind is MessageTooBig else ""
    return kind(f"the server broke the WebSocket protocol: {error}{hint}")
