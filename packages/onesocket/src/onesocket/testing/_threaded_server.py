"""Runs a server for synchronous tests, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from ..errors import UsageError

T = TypeVar("T")
S = TypeVar("S", bound=AbstractAsyncContextManager[Any])


class ThreadedServer(Generic[S]):
    """A context manager: `server` runs inside the block, on its own event loop in a daemon thread.

    Read plain attributes (a URL, counts) from `server` directly; everything else goes through `call`.
    """

    def __init__(self, server: S) -> None:
        self.server = server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<ThreadedServer {self.server!r}>"

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="onesocket test server", daemon=True)
        self._thread.start()
        try:
            self.call(lambda server: server.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        try:
            self.call(lambda server: server.__aexit__(None, None, None))
        finally:
            self._end()

    @overload
    def call(self, function: Callable[[S], Coroutine[Any, Any, T]], *, timeout: float = 30.0) -> T: ...
    @overload
    def call(self, function: Callable[[S], T], *, timeout: float = 30.0) -> T: ...
    def call(self, function: Callable[[S], Any], *, timeout: float = 30.0) -> Any:
        """Call `function` with the server on its event loop: ``call(lambda server: server.kill_connections())``.

        Returns its result; a coroutine is awaited. Raises what it raises, `TimeoutError` after `timeout` seconds, and
        `UsageError` outside the block.
        """
        if self._loop is None:
            raise UsageError(f"{self!r} is not started: use it as `with ThreadedServer(…) as server`")

        async def perform() -> Any:
            result = function(self.server)
            return await result if inspect.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(perform(), self._loop).result(timeout)

    def _end(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()
            self._loop = None
