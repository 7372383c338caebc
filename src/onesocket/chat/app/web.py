"""The same application in a browser: textual-serve runs one of it for each who looks."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from ... import MissingExtra, UsageError

try:
    from aiohttp import web
    from textual_serve.server import Server
except ImportError as error:
    raise MissingExtra('the chat in a browser needs textual-serve: pip install "onesocket[chat]"') from error

_MOST: Final = 16
"""Applications at a time; each is a process of its own."""
_POLICY: Final = "default-src 'self' 'unsafe-inline' data:; connect-src 'self' ws:; frame-ancestors 'none'"
_END: Final = 10.0
"""Seconds that all applications together have to close their lines when the server ends."""


class ChatPages(Server):
    """Serves the page, and runs an application for each browser that shows it."""

    def __init__(self, arguments: Sequence[str], *, host: str, port: int) -> None:
        command = shlex.join([sys.executable, "-m", "onesocket", "chat", *arguments])
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - an argument that is left out
            f"exec {command}", host=host, port=port, title="onesocket chat"
        )
        self._places = {f"{name}:{port}" for name in (host, "127.0.0.1", "localhost")}
        self._running: set[asyncio.Task[object]] = set()

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One browser. Pages of other sites are refused: a browser lets them connect to any address."""
        if urlsplit(request.headers.get("Origin", "")).netloc not in self._places:
            raise web.HTTPForbidden(text="this is for the chat's own page")
        if len(self._running) >= _MOST:
            raise web.HTTPServiceUnavailable(text=f"{_MOST} browsers are being served, which is the limit")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler runs in a task
        self._running.add(task)
        try:
            return await super().handle_websocket(request)
        finally:
            self._running.discard(task)

    async def handle_index(self, request: web.Request) -> Any:
        """The page. It shows nothing from elsewhere (a font, for one), and nobody shows it inside another page."""
        response: web.StreamResponse = await super().handle_index(request)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Frame-Options"] = "DENY"
        return response

    async def on_startup(self, app: web.Application) -> None:
        """Say where it is."""
        del app
        self.console.print(f"onesocket chat: {self.public_url}/  (Ctrl-C ends it)", highlight=False, markup=False)

    async def on_shutdown(self, app: web.Application) -> None:
        """Let the applications end in order; otherwise the server would wait for the browsers."""
        await super().on_shutdown(app)
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=_END)


def serve(arguments: Sequence[str], *, host: str, port: int) -> None:
    """Serve ``onesocket chat ARGUMENTS`` on this port until SIGINT or SIGTERM.

    Raises `UsageError` if it can't listen.
    """
    server = ChatPages(arguments, host=host, port=port)
    try:
        server.serve()
    except OSError as error:
        raise UsageError(f"can't listen on {host}:{port}: {error.strerror}; choose another port with --port") from error
