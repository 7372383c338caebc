"""A hub: one upstream connection, and a local endpoint for programs in any language."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import time
from collections.abc import Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Final

from .._version import __version__
from ..client._gap import Gap
from ..client._status import Change, ConnectionStats, Status
from ..errors import NoRuntimeDirectory, OnesocketError, UsageError
from ..instruments._text_format import CONTENT_TYPE
from ..lifecycle._states import State
from ..sharing._upstream import Upstream
from ..transports._connection_acceptor import RequestAnswer
from ..wire._http_response import HttpResponse
from ..wire._request_parser import HttpRequest
from ._access_policy import AccessPolicy
from ._counters import HubCounters
from ._discovery import HubListing, HubRegistration
from ._endpoint import Endpoint
from ._frame_backlog import FrameBacklog
from ._frontend import Frontend
from ._hub_listener import HubListener
from ._metrics import metrics_text
from ._options import HubOptions

log = logging.getLogger("onesocket")

_SERVICE_RESTART: Final = 1012
_BAD_GATEWAY: Final = 1014
_INACTIVE_STATES: Final = frozenset({State.STOPPED, State.FAILED, State.DISCONNECTED, State.CLOSING})
_INTENDED_CAUSES: Final = frozenset({"Disconnect", "Reconnect", "Close"})
"""Causes of a loss that this process asked for."""


class _Phase(enum.Enum):
    STARTING = enum.auto()
    SERVING = enum.auto()
    STOPPING = enum.auto()


class Hub:
    """Holds the upstream, the lock and the listening socket; the frontend serves the clients.

    `start()` raises the error of the first connect; a lost connection is resumed by the upstream's own policy. When
    that gives up, clients are closed with 1014, and `until_failed()` returns the error. (With `linger` it doesn't: the
    next client causes another attempt.)
    """

    def __init__(
        self,
        upstream: Upstream,
        frontend: Frontend,
        options: HubOptions,
        *,
        key: str,
        name: str = "",
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self.counters = HubCounters()
        self.backlog = FrameBacklog(options.client_buffer)
        self.options = options
        self.frontend = frontend
        self._upstream = upstream
        self._key = key
        self._digests = digests or {}
        """Digests of the options for dial and login: named in the error of a second hub for this key."""
        self._name = name
        """Shown in place of the upstream's URL, unless empty."""
        self.access_policy = AccessPolicy(options)
        self._listener = HubListener(self._respond, max_clients=options.max_clients)
        self._metrics_listener = HubListener(self._answer_metrics)
        self._registration: HubRegistration | None = None
        self._subprotocol: str | None = None
        self._started = time.time()
        self._linger_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._phase = _Phase.STARTING
        self._is_lost = False
        self._failure: asyncio.Future[OnesocketError] | None = None

    def __repr__(self) -> str:
        return f"<Hub {self.status.url} {self.status.state.name} on {self._listener.endpoint} {self.frontend!r}>"

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Register this hub, connect, and accept clients.

        Raises `HubRunning`, `OptionConflict`, `CannotListen`, and the errors of `connect()`.
        """
        self._failure = asyncio.get_running_loop().create_future()
        try:
            self._register()
            await self._listener.bind(self.options.listen, "--listen")
            if self.options.metrics is not None:
                await self._metrics_listener.bind(self.options.metrics, "--metrics")
            self.frontend.open(self)
            self._upstream.attach(self)
            await self._upstream.connect()
            self._subprotocol = self.status.subprotocol
            await self._listener.serve()
            await self._metrics_listener.serve()
            if self._registration is not None:
                self._registration.note(str(self._listener.endpoint))
                await self._registration.report(self.listing)
            self._phase = _Phase.SERVING
            self._start_linger()
        except BaseException:
            await self.stop()
            raise

    async def until_failed(self) -> OnesocketError:
        """Wait until the upstream has failed for good; returns its error."""
        if self._failure is None:
            raise RuntimeError("the hub is not started")
        return await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Close the clients in order, then the upstream, within twice `close_timeout` seconds. Idempotent."""
        phase, self._phase = self._phase, _Phase.STOPPING
        if phase is _Phase.STOPPING:
            return
        self._cancel_linger()
        self._listener.stop()
        self._metrics_listener.stop()
        if phase is _Phase.SERVING:
            await self.frontend.stop(self.options.close_timeout)
        for listener in (self._listener, self._metrics_listener):
            listener.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await self._upstream.aclose()
        if self._registration is not None:
            await self._registration.release()

    def rotate(self) -> None:
        """Begin to replace the upstream connection by a successor, as its `rotation=` says; a failure is logged."""
        if self._is_serving:
            self._run(self._rotate_upstream())

    async def _rotate_upstream(self) -> None:
        try:
            await self._upstream.rotate()
        except UsageError:
            log.warning("no rotation: the service of this hub declares none")
        except OnesocketError as error:
            log.warning("the upstream was not rotated: %s", error)
        else:
            log.warning("the upstream was rotated: epoch %d", self.status.epoch)

    def _register(self) -> None:
        try:
            listen = str(self.options.listen)
            self._registration = HubRegistration.register(self._key, self.options.directory, listen, self._digests)
        except (NoRuntimeDirectory, ImportError, OSError) as error:
            log.warning("this hub can't be listed, and a second one won't be noticed: %s", error)

    # --- for the frontend -------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """The status of the upstream connection."""
        return self._upstream.status

    @property
    def connection_stats(self) -> ConnectionStats:
        """The counters of the upstream connection."""
        return self._upstream.connection_stats

    @property
    def subprotocol(self) -> str | None:
        """The sub-protocol that the upstream chose, on its last connection while there is none."""
        return self._subprotocol

    @property
    def endpoint(self) -> Endpoint:
        """The address for clients."""
        return self._listener.endpoint

    @property
    def metrics_endpoint(self) -> Endpoint:
        """The address for metrics."""
        return self._metrics_listener.endpoint

    @property
    def url(self) -> str:
        """``ws://HOST:PORT/``; for a Unix socket with ``localhost`` as a placeholder."""
        endpoint = self._listener.endpoint
        return "ws://localhost/" if endpoint.path else f"ws://{endpoint}/"

    def client_connected(self) -> None:
        """Count a client that has connected, and connect the upstream if it lingered out."""
        self.counters.accepted += 1
        self._cancel_linger()
        if self.options.linger is not None and self.status.state in _INACTIVE_STATES:
            self._run(self._reconnect_upstream())

    def client_disconnected(self) -> None:
        """Start to linger if this was the last client."""
        self._start_linger()

    # --- requests ---------------------------------------------------------------------------------------------------

    def _respond(self, request: HttpRequest) -> RequestAnswer:
        found = self.access_policy.check_origin(request) or self.frontend.respond(request)
        if isinstance(found, HttpResponse) and found.status >= HTTPStatus.BAD_REQUEST:
            self.counters.refused += 1
        return found

    def _answer_metrics(self, request: HttpRequest) -> RequestAnswer:
        refusal = self.access_policy.check_origin(request)
        if refusal is not None:
            return refusal
        if request.path not in ("/metrics", "/"):
            return HttpResponse.text(404, "here is only /metrics")
        text = metrics_text(self._upstream, self.counters, self.frontend, self.backlog)
        return HttpResponse(200, text.encode(), {"Content-Type": CONTENT_TYPE})

    def listing(self) -> HubListing:
        """The row of `onesocket status`."""
        status = self.status
        return HubListing(
            url=self._name or status.url,
            pid=os.getpid(),
            release=__version__,
            listen=str(self.endpoint),
            kind=self.frontend.kind,
            started=self._started,
            clients=self.frontend.clients,
            state=status.state,
            epoch=status.epoch,
            received_per_second=self.counters.received.per_second,
            sent_per_second=self.counters.sent.per_second,
            cut_off=self.counters.cut_off,
            rtt=status.rtt,
            last_error=_error_text(status.last_error),
            last_loss=_error_text(status.last_loss),
            last_lost_at=status.last_lost_at,
        )

    # --- events of the upstream -------------------------------------------------------------------------------------

    def messages(self, batch: list[Any]) -> None:
        """Pass messages to the frontend."""
        self.counters.received.add(len(batch))
        self.counters.received_bytes += sum(map(self.frontend.size, batch))
        self.frontend.messages(batch)

    def gap(self, gap: Gap) -> None:
        """Note that messages may be missing here."""
        self.frontend.gap(gap)

    def changed(self, change: Change, status: Status) -> None:
        """React to a change of the upstream's state."""
        if change.new is State.CONNECTED:
            self._connected(status)
        elif change.old is State.CONNECTED and self._is_serving and change.cause not in _INTENDED_CAUSES:
            # The reason, and the progress of the recovery, are logged by the client.
            fate = "stay connected" if self.options.on_loss != "close" else "are closed, to connect again"
            log.warning("the upstream was lost; clients that %s: %d", fate, self.frontend.clients)
            self._is_lost = True
            if self.options.on_loss == "close":
                self.frontend.close_clients(_SERVICE_RESTART, "the upstream was lost; connect again")
        if change.new is State.FAILED and self._is_serving:
            error = change.error
            self.frontend.close_clients(_BAD_GATEWAY, f"the upstream has failed: {error}")
            if self.options.linger is None and self._failure is not None and not self._failure.done():
                self._failure.set_result(error if error is not None else OnesocketError("the upstream failed"))

    def failed(self, error: OnesocketError) -> None:
        """Do nothing: `changed` has handled it."""

    @property
    def _is_serving(self) -> bool:
        return self._phase is _Phase.SERVING

    def _connected(self, status: Status) -> None:
        if self._is_lost:
            self._upstream.when_subscribed(self._recovered)
        if self._is_serving and status.subprotocol != self._subprotocol:
            self.frontend.close_clients(_SERVICE_RESTART, "the upstream speaks another sub-protocol now; connect again")
        self._subprotocol = status.subprotocol

    def _recovered(self) -> None:
        if self._is_lost:
            self._is_lost = False
            log.warning("the upstream is back")  # as loud as the loss, or only the bad news would be read

    # --- lingering --------------------------------------------------------------------------------------------------

    def _start_linger(self) -> None:
        linger = self.options.linger
        if linger is not None and not self.frontend.clients and self._is_serving and self._linger_timer is None:
            self._linger_timer = asyncio.get_running_loop().call_later(linger, self._on_linger_timeout)

    def _on_linger_timeout(self) -> None:
        self._linger_timer = None
        self._run(self._upstream.disconnect())

    def _cancel_linger(self) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None

    async def _reconnect_upstream(self) -> None:
        with contextlib.suppress(OnesocketError):  # `changed` closes the clients
            await self._upstream.reconnect()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _error_text(error: OnesocketError | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"
