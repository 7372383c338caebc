"""The chat server for synchronous code: on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from ...errors import InvalidOption


class Server(Protocol):
    """What the thread runs."""

    @property
    def api_url(self) -> str:
        """``http://127.0.0.1:PORT/api/v10``."""
        ...

    @property
    def gateway_url(self) -> str:
        """``ws://127.0.0.1:PORT/``."""
        ...

    async def start(self) -> None:
        """Listen."""

    async def stop(self) -> None:
        """Close everything, in order."""


T = TypeVar("T")
S = TypeVar("S", bound=Server)


class ThreadedChatServer(Generic[S]):
    """Made by `ChatServer.in_thread()`. A context manager: the server runs inside the block."""

    def __init__(self, server: S) -> None:
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<ThreadedChatServer {self._server!r}>"

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="onesocket-chat-server", daemon=True)
        self._thread.start()
        try:
            self.call(lambda server: server.start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        try:
            self.call(lambda server: server.stop())
        finally:
            self._end()

    @property
    def api_url(self) -> str:
        """``http://127.0.0.1:PORT/api/v10``."""
        return self._server.api_url

    @property
    def gateway_url(self) -> str:
        """``ws://127.0.0.1:PORT/``."""
        return self._server.gateway_url

    @overload
    def call(self, wanted: Callable[[S], Coroutine[Any, Any, T]], *, timeout: float = 30.0) -> T: ...
    @overload
    def call(self, wanted: Callable[[S], T], *, timeout: float = 30.0) -> T: ...
    def call(self, wanted: Callable[[S], Any], *, timeout: float = 30.0) -> Any:
        """Do this with the server, on its event loop: ``call(lambda server: server.create_bot("robo"))``.

        Raises what it raises, and `TimeoutError` after `timeout` seconds.
        """
        if self._loop is None:
            raise InvalidOption("the chat server is not started: use it as `with ChatServer().in_thread() as server`")

        async def perform() -> Any:
            result = wanted(self._server)
            return await result if inspect.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(perform(), self._loop).result(timeout)

    def _end(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()
            self._loop = None
