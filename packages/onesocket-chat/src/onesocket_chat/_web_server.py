"""The chat in a browser: textual-serve runs one application per browser."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp_jinja2
from aiohttp import web
from textual_serve.server import Server

from onesocket.errors import UsageError
from onesocket.hub._endpoint import is_ip_address, is_loopback

_MAX_APPLICATIONS: Final = 16
"""Applications at a time; each is a process of its own."""
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self' 'unsafe-inline' data:; connect-src 'self' ws://{host}; frame-ancestors 'none'"
)
_MAX_FONT_SIZE_DIGITS: Final = 4
"""The number of digits that no valid font size has."""
_SHUTDOWN_TIMEOUT: Final = 10.0
"""Seconds for all applications together to close their connections when the server ends."""


class ChatWebServer(Server):
    """Serves the page, and runs an application for each browser that shows it.

    The page uses the host of the request, which is checked: a foreign name may resolve to this address.
    """

    def __init__(self, arguments: Sequence[str], *, host: str, port: int) -> None:
        command = shlex.join([sys.executable, "-m", "onesocket", "chat", *arguments])
        address = f"[{host}]" if ":" in host else host
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - an argument that is left out
            f"exec {command}",
            host=host,
            port=port,
            title="onesocket chat",
            public_url=f"http://{address}:{port}",
        )
        self._is_local = is_loopback(host)
        self._names = {address.lower(), "127.0.0.1", "localhost", "[::1]"}
        self._running: set[asyncio.Task[object]] = set()

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one browser. Pages of other sites are refused, since a browser lets them connect to any address."""
        self._check_host(request)
        if urlsplit(request.headers.get("Origin", "")).netloc.lower() != request.host.lower():
            raise web.HTTPForbidden(text="this is for the chat's own page")
        if len(self._running) >= _MAX_APPLICATIONS:
            raise web.HTTPServiceUnavailable(text=f"{_MAX_APPLICATIONS} browsers are being served, which is the limit")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler runs in a task
        self._running.add(task)
        try:
            return await super().handle_websocket(request)
        finally:
            self._running.discard(task)

    async def handle_index(self, request: web.Request) -> Any:
        """Serve the page, without foreign resources such as fonts, and not for frames of other pages."""
        self._check_host(request)
        size = request.query.get("fontsize", "")
        context = {
            "font_size": int(size) if size.isascii() and size.isdigit() and len(size) < _MAX_FONT_SIZE_DIGITS else 16,
            "app_websocket_url": f"ws://{request.host}/ws",
            "config": {"static": {"url": "/static/"}},
            "application": {"name": self.title},
        }
        response = aiohttp_jinja2.render_template("app_index.html", request, context)
        response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY.format(host=request.host)
        response.headers["X-Frame-Options"] = "DENY"
        return response

    def knows(self, host: str) -> bool:
        """True if `host` may name this server: any address, from other machines, but no name that could lead here."""
        name = re.sub(r":\d+$", "", host.lower())
        return name in self._names or (not self._is_local and is_ip_address(name.strip("[]")))

    def _check_host(self, request: web.Request) -> None:
        if not self.knows(request.host):
            raise web.HTTPForbidden(text=f"the chat is not known by this name; open {self.public_url}/")

    async def on_startup(self, app: web.Application) -> None:
        """Print the address."""
        del app
        text = f"onesocket chat: {self.public_url}/  (Ctrl-C ends it)"
        if not self._is_local:
            text += "\nOthers on the network can reach it, and read what is typed: there is no TLS."
        self.console.print(text, highlight=False, markup=False)

    async def on_shutdown(self, app: web.Application) -> None:
        """End the applications in order, without waiting for the browsers."""
        await super().on_shutdown(app)
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=_SHUTDOWN_TIMEOUT)


def serve(arguments: Sequence[str], *, host: str, port: int) -> None:
    """Serve ``onesocket chat ARGUMENTS`` on this port until SIGINT or SIGTERM.

    Raises `UsageError` if it can't listen.
    """
    server = ChatWebServer(arguments, host=host, port=port)
    try:
        server.serve()
    except OSError as error:
        raise UsageError(f"can't listen on {host}:{port}: {error.strerror}; choose another port with --port") from error
