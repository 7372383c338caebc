"""An event loop in the main thread that a test runs step by step, and ends in one of several ways."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from onesocket import SharedClient, blocking
from onesocket.errors import DeliveryUnknown
from onesocket.sharing import _main_loop as main_loop

T = TypeVar("T")

EndsBy = Literal["asyncio.run", "shutdown_asyncgens", "close", "standstill"]
ENDINGS: Final[tuple[EndsBy, ...]] = ("asyncio.run", "shutdown_asyncgens", "close", "standstill")


class EndingLoop:
    """A context manager: `run` as often as you like, then `end`.

    `ends_by`: as `asyncio.run` ends; by `shutdown_asyncgens`, with the tasks left alone; by `close` alone; or it
    only doesn't run any more ("standstill"), and goes on when the test wants it.
    """

    def __init__(self, ends_by: EndsBy, monkeypatch: Any, *, on_uvloop: bool = False) -> None:
        self._ends_by = ends_by
        self._monkeypatch = monkeypatch
        self.clients: list[SharedClient[Any]] = []
        """Clients of the loop: referred to, so that they don't leave; closed at last, if the loop isn't."""
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None
        if on_uvloop:
            import uvloop  # noqa: PLC0415 - not there for every Python

            factory = uvloop.new_event_loop
        self._runner = asyncio.Runner(loop_factory=factory)

    @property
    def is_in_order(self) -> bool:
        """True if the connection is closed in order, with what was sent: else it's reset, as in any loss."""
        return self._ends_by in ("asyncio.run", "shutdown_asyncgens")

    def __enter__(self) -> Self:
        # A loop that doesn't run between two steps has not ended.
        self._monkeypatch.setattr(main_loop, "STANDSTILL", 1e9)
        self._loop = self._runner.get_loop()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is still open."""
        if not self._loop.is_closed():
            for client in self.clients:
                self.run(client.aclose())
            self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop."""
        return self._runner.run(work)

    def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in another thread while the loop runs."""
        return self.run(asyncio.to_thread(function, *args))

    def end(self) -> None:
        """End the loop."""
        loop = self._loop
        match self._ends_by:
            case "asyncio.run":
                self._runner.close()
            case "shutdown_asyncgens":
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.close()
            case "close":
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()
            case "standstill":
                self._monkeypatch.setattr(main_loop, "STANDSTILL", 0.0)


def send_numbered(client: blocking.SharedClient[Any], number: int, count: int, begun: threading.Barrier) -> list[str]:
    """Send so many messages of sender `number`, in its thread; returns those whose delivery is certain."""
    begun.wait(10)
    certain: list[str] = []
    for text, future in [(text, client.send_nowait(text)) for text in (f"{number} {each}" for each in range(count))]:
        if not isinstance(future.exception(20), DeliveryUnknown):
            future.result()
            certain.append(text)
    return certain


def check_ledger(received: list[str], certain: list[list[str]], *, is_in_order: bool) -> None:
    """Compare what arrived with what each sender is certain of; `is_in_order`: nothing was reset."""
    assert len(received) == len(set(received)), "nothing twice"
    for number, texts in enumerate(certain):
        mine = [text for text in received if text.startswith(f"{number} ")]
        assert mine == sorted(mine, key=lambda text: int(text.split()[1])), "in order"
        assert not is_in_order or set(texts) <= set(mine), "what was delivered is there"
