"""One connection, and a local endpoint for programs in any language."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import time
from collections.abc import Mapping
from typing import Any, Final

from picows import WSUpgradeRequest

from ...client.gap import Gap
from ...client.status import Change, Status
from ...errors import OnesocketError
from ...lifecycle.states import State
from ...transports.server_accepting import Answer
from ..host.errors import NoRuntimeDirectory
from ..upstream import Upstream
from .counters import Counters
from .desk import Desk
from .endpoint import Endpoint
from .gate import Gate, answer, path_of, refuse
from .listener import Listener
from .metrics import CONTENT_TYPE, metrics_text
from .options import HubOptions
from .presence import HubListing, HubPlace

log = logging.getLogger("onesocket")

_SERVICE_RESTART: Final = 1012
_BAD_GATEWAY: Final = 1014
_RESTING: Final = frozenset({State.STOPPED, State.FAILED, State.DISCONNECTED, State.CLOSING})
_MEANT: Final = frozenset({"Disconnect", "Reconnect", "Close"})
"""Causes of an end that we asked for."""
_SCRAPERS: Final = 16
_SMALL: Final = 4096


class Hub:
    """Holds the upstream, the lock and the listening socket; its desk speaks with the clients.

    `start()` raises what the first connect failed with; a lost line is resumed by the upstream's own policy. When that
    gives up, clients are closed with 1014, and `until_failed()` returns the error. (With `linger` it doesn't: the next
    client asks again.)
    """

    def __init__(
        self,
        upstream: Upstream,
        desk: Desk,
        options: HubOptions,
        *,
        key: str,
        name: str = "",
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self.counters = Counters()
        self.options = options
        self.desk = desk
        self._upstream = upstream
        self._key = key
        self._digests = digests or {}
        """Of the options that go into dial and login: a second hub for this key is told which one differs."""
        self._name = name
        """What is shown for the upstream's URL, if that isn't it."""
        self.gate = Gate(options)
        frame = max(options.max_message, _SMALL) * 2
        self._listener = Listener(self._respond, most=options.max_clients, max_frame=frame)
        self._scraped = Listener(self._scrape, most=_SCRAPERS, max_frame=_SMALL)
        self._place: HubPlace | None = None
        self._subprotocol: str | None = None
        self._started = time.time()
        self._rest: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._serving = False
        self._is_lost = False
        self._failure: asyncio.Future[OnesocketError] | None = None

    def __repr__(self) -> str:
        return f"<Hub {self.status.url} {self.status.state.name} on {self._listener.endpoint} {self.desk!r}>"

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take our place, connect, and accept clients.

        Raises `HubRunning`, `OptionConflict`, `CannotListen`, or what the connect failed with.
        """
        self._failure = asyncio.get_running_loop().create_future()
        try:
            self._take_place()
            await self._listener.bind(self.options.listen, "--listen")
            if self.options.metrics is not None:
                await self._scraped.bind(self.options.metrics, "--metrics")
            self.desk.open(self)
            self._upstream.attach(self)
            await self._upstream.connect()
            self._subprotocol = self.status.subprotocol
            await self._listener.serve()
            await self._scraped.serve()
            if self._place is not None:
                self._place.note(str(self._listener.endpoint))
                await self._place.report(self.listing)
            self._serving = True
            self._rest_soon()
        except BaseException:
            await self.stop()
            raise

    async def until_failed(self) -> OnesocketError:
        """Wait until the upstream can't be had any more, and say why."""
        if self._failure is None:
            raise RuntimeError("the hub is not started")
        return await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Accept nobody, close the clients in order, then the upstream; within twice `close_timeout`. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        self._wake_up()
        self._listener.stop()
        self._scraped.stop()
        if self._serving:
            await self.desk.stop(self.options.close_timeout)
        for listener in (self._listener, self._scraped):
            listener.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await self._upstream.aclose()
        if self._place is not None:
            await self._place.release()

    def _take_place(self) -> None:
        try:
            listen = str(self.options.listen)
            self._place = HubPlace.take(self._key, self.options.directory, listen, self._digests)
        except (NoRuntimeDirectory, ImportError, OSError) as error:
            log.warning("this hub can't be listed, and a second one won't be noticed: %s", error)

    # --- for the desk -----------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """How the upstream stands."""
        return self._upstream.status

    @property
    def subprotocol(self) -> str | None:
        """The one that the upstream chose, or had chosen while it's down."""
        return self._subprotocol

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return self._listener.endpoint

    @property
    def metrics_endpoint(self) -> Endpoint:
        """Where metrics are told."""
        return self._scraped.endpoint

    @property
    def url(self) -> str:
        """``ws://HOST:PORT/``; for a Unix socket with a host that means nothing."""
        endpoint = self._listener.endpoint
        return "ws://localhost/" if endpoint.path else f"ws://{endpoint}/"

    def arrived(self) -> None:
        """There is one client more."""
        self.counters.accepted += 1
        self._wake_up()
        if self.options.linger is not None and self.status.state in _RESTING:
            self._do(self._ask_again())

    def left(self) -> None:
        """There is one client less."""
        self._rest_soon()

    # --- requests ---------------------------------------------------------------------------------------------------

    def _respond(self, request: WSUpgradeRequest) -> Answer:
        found = self.gate.foreign(request) or self.desk.respond(request)
        if getattr(getattr(found, "status", None), "value", 0) >= 400:
            self.counters.refused += 1
        return found

    def _scrape(self, request: WSUpgradeRequest) -> Answer:
        refusal = self.gate.foreign(request)
        if refusal is not None:
            return refusal
        if path_of(request) not in ("/metrics", "/"):
            return refuse(404, "here is only /metrics")
        return answer(metrics_text(self.status, self.counters, self.desk).encode(), CONTENT_TYPE)

    def listing(self) -> HubListing:
        """What `onesocket status` shows."""
        status = self.status
        return HubListing(
            url=self._name or status.url,
            pid=os.getpid(),
            release=_release(),
            listen=str(self.endpoint),
            kind=self.desk.kind,
            started=self._started,
            clients=self.desk.clients,
            state=status.state,
            epoch=status.epoch,
            received_per_second=self.counters.received.per_second,
            sent_per_second=self.counters.sent.per_second,
            cut_off=self.counters.cut_off,
            rtt=status.rtt,
            last_error=_shown(status.last_error),
            last_loss=_shown(status.last_loss),
            last_lost_at=status.last_lost_at,
        )

    # --- what the upstream tells ------------------------------------------------------------------------------------

    def messages(self, batch: list[Any]) -> None:
        """These came."""
        self.counters.received.add(len(batch))
        self.counters.received_bytes += sum(map(self.desk.size, batch))
        self.desk.messages(batch)

    def gap(self, gap: Gap) -> None:
        """Here messages may be missing."""
        self.counters.gaps += 1
        self.desk.gap(gap)

    def changed(self, change: Change, status: Status) -> None:
        """The state changed."""
        if change.new is State.CONNECTED:
            self._connected(status)
        elif change.old is State.CONNECTED and self._serving and not self._stopping and change.cause not in _MEANT:
            # Why, and how its recovery goes, its client has logged.
            here = self.desk.clients
            stay = "stay connected" if self.options.on_loss != "close" else "are closed, to connect again"
            log.warning("the upstream was lost; clients that %s: %d", stay, here)
            self._is_lost = True
            if self.options.on_loss == "close":
                self.desk.dismiss(_SERVICE_RESTART, "the upstream was lost; connect again")
        if change.new is State.FAILED and self._serving and not self._stopping:
            error = change.error
            self.desk.dismiss(_BAD_GATEWAY, f"the upstream can't be had: {error}")
            if self.options.linger is None and self._failure is not None and not self._failure.done():
                self._failure.set_result(error if error is not None else OnesocketError("the upstream failed"))

    def failed(self, error: OnesocketError) -> None:
        """Told by `changed` already."""

    def _connected(self, status: Status) -> None:
        if status.epoch > 1:
            self.counters.reconnects += 1
        if self._is_lost:
            self._is_lost = False
            log.warning("the upstream is back")  # as loud as the loss, or only the bad news would be read
        if self._serving and status.subprotocol != self._subprotocol:
            self.desk.dismiss(_SERVICE_RESTART, "the upstream speaks another sub-protocol now; connect again")
        self._subprotocol = status.subprotocol

    # --- resting ----------------------------------------------------------------------------------------------------

    def _rest_soon(self) -> None:
        linger = self.options.linger
        if linger is not None and not self.desk.clients and self._serving and not self._stopping and self._rest is None:
            self._rest = asyncio.get_running_loop().call_later(linger, self._lie_down)

    def _lie_down(self) -> None:
        self._rest = None
        self._do(self._upstream.disconnect())

    def _wake_up(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    async def _ask_again(self) -> None:
        with contextlib.suppress(OnesocketError):  # `changed` tells the clients
            await self._upstream.reconnect()

    def _do(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _shown(error: OnesocketError | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"


def _release() -> str:
    try:
        return importlib.metadata.version("onesocket")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
