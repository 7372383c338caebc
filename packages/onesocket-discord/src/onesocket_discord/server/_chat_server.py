"""The chat server in one piece: store, service, HTTP, gateway and scripted faults."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, get_args

from aiohttp import web
from argon2 import PasswordHasher

from onesocket.errors import InvalidOption, MissingExtra, UsageError
from onesocket.hub._endpoint import Endpoint
from onesocket.testing import ThreadedServer
from onesocket.transports._socket_server import bind_host, serve_sockets

from ._address_counter import AddressCounter
from ._control_endpoint import ControlEndpoint
from ._fault_injector import FaultInjector
from ._health import HealthCheck
from ._metrics import MetricsEndpoint
from ._public_url import PublicUrl, check_gateway_url
from ._requests import MALFORMED_ROUTE, RequestObserver, RequestRecord
from ._shared_port import SharedPort
from ._trusted_proxies import TrustedProxies
from .gateway import GatewayOptions, GatewayServer, Stats
from .rest import (
    IDLE_TIMEOUT,
    HttpConnectionLimiter,
    OriginPolicy,
    StaticPage,
    make_app,
    scripted_rate_limit_response,
)
from .service import LOGIN_LIFETIME, ChatService, PasswordService, Registration

if TYPE_CHECKING:
    from .cluster import ClusterNode

_MEMORY: Final = ":memory:"
_BACKLOG: Final = 4096
# Thousands may dial in the same moment; the kernel cuts this to its own limit (net.core.somaxconn).


class ChatServer:
    """A chat server that speaks Discord's gateway and HTTP API. An async context manager.

    - `path`: the SQLite file, created if it doesn't exist, or the URL of a database on PostgreSQL,
      ``postgresql+asyncpg://…``; None: in memory, with cheap password hashes.
    - `host`: the address to listen on. There is no TLS, so keep it on loopback.
    - `port`: for the page, HTTP and the gateway; 0 takes a free one.
    - `gateway_port`: a port of its own for the gateway, besides; 0 takes a free one. None, or the same: no other one.
    - `options`: the gateway's limits and times.
    - `control_file`: a file, readable by its owner alone, for the address and token of the control endpoint.
    - `login_lifetime`: seconds without use after which a person's login expires.
    - `trusted_proxies`: addresses or networks of reverse proxies whose ``X-Forwarded-For`` and ``-Proto`` are believed.
    - `cluster`: the URL of Redis or Valkey, ``redis://…``, by which the servers of one database are as one.
    - `public_url`: the address of a reverse proxy in front, such as ``https://chat.example``: clients are told
      addresses of it, and its pages may use the server, in place of those of loopback.
    - `public_gateway_url`: the gateway's address that clients are told; by default that of `public_url`, or its own.
    - `origins`: the origins of web pages that may use the server, besides.
    - `registration`: who may make an account by HTTP: ``"open"``, ``"invite"`` (whoever has one) or ``"closed"``.
    - `metrics`: ``HOST:PORT``, or ``PORT`` on 127.0.0.1, for Prometheus; None: nowhere.
    - `on_request`: is called with a `RequestRecord` of each request that was answered; it must not block.

    Its start raises `PortTaken` if a port is in use, `InvalidOption` for a place that can't be, `StoreInUse` if another
    server uses the database, `SettingsDiffer` if the servers of its cluster have other settings, `StoreUnreachable`,
    `StoreBroken` and `StoreTooNew` if it can't be used, and `EngineUnavailable` or `EngineUnusable` for the cluster's.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        gateway_port: int | None = None,
        options: GatewayOptions | None = None,
        control_file: Path | None = None,
        trusted_proxies: Iterable[str] = (),
        login_lifetime: float = LOGIN_LIFETIME,
        cluster: str | None = None,
        public_url: str | None = None,
        public_gateway_url: str | None = None,
        origins: Iterable[str] = (),
        registration: Registration = "open",
        metrics: str | None = None,
        on_request: RequestObserver | None = None,
    ) -> None:
        self._where = _MEMORY if path is None else path
        self._host = host
        self._port = port
        self._gateway_port = None if port and port == gateway_port else gateway_port
        self._control_file = control_file
        self._proxies = TrustedProxies(trusted_proxies)
        self._login_lifetime = login_lifetime
        if registration not in get_args(Registration):
            raise InvalidOption(f"registration must be one of {', '.join(get_args(Registration))}")
        self._registration: Registration = registration
        self._proxy_url = None if public_url is None else PublicUrl.parse(public_url)
        self._origins = OriginPolicy(origins, self._proxy_url)
        self._public_gateway_url = _told_gateway_url(public_gateway_url, self._proxy_url)
        self._observers: list[RequestObserver] = [] if on_request is None else [on_request]
        self._gateway = GatewayServer(
            options, self._public_gateway_url, self._origins.allows_gateway, self._proxies, self._observers
        )
        self._http: HttpConnectionLimiter | None = None
        self._metrics = None if metrics is None else self._metrics_endpoint(metrics)
        self._cluster = None if cluster is None else _cluster_node(cluster, self._gateway)
        self._page = StaticPage.installed()
        self._service: ChatService | None = None
        self._stack = contextlib.AsyncExitStack()
        self.api_url = ""
        """The API where the server listens: ``http://127.0.0.1:PORT/api/v10``."""
        self.faults = FaultInjector(self._gateway.state, scripted_rate_limit_response)
        """The scripted faults."""

    def __repr__(self) -> str:
        return f"<ChatServer {self.api_url or 'not started'}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def gateway_url(self) -> str:
        """The gateway where the server listens: ``ws://127.0.0.1:PORT/``."""
        return self._gateway.url

    @property
    def public(self) -> PublicUrl:
        """The addresses that clients are told, but for the gateway's."""
        return self._proxy_url or PublicUrl(self.api_url.removesuffix("/api/v10"))

    @property
    def public_gateway_url(self) -> str:
        """The gateway's address that clients are told."""
        return self._public_gateway_url or self.gateway_url

    @property
    def page_url(self) -> str:
        """The address of the chat's page that users are told; empty unless onesocket-chat is installed."""
        return self.public.page_url if self._page.is_installed else ""

    @property
    def metrics_url(self) -> str:
        """``http://127.0.0.1:PORT/metrics``; empty without `metrics`."""
        return "" if self._metrics is None else self._metrics.url

    @property
    def service(self) -> ChatService:
        """The service behind the HTTP API. Raises `InvalidOption` before the start."""
        if self._service is None:
            raise InvalidOption("the chat server is not started: use it as `async with ChatServer() as server`")
        return self._service

    @property
    def stats(self) -> Stats:
        """A copy of the counters."""
        return self._gateway.state.stats_counter.snapshot()

    async def wait_for(self, condition: Callable[[Stats], bool], *, timeout: float = 10.0) -> Stats:
        """Wait until the counters satisfy `condition`. Raises `WaitTimeout` after `timeout` seconds."""
        return await self._gateway.state.stats_counter.wait_for(condition, timeout)

    async def create_user(self, name: str, password: str) -> str:
        """Register a person, whoever else may; returns a token.

        Raises `ApiError` if the name is taken, or either is invalid or easily guessed.
        """
        account = await self.service.accounts.add_person(name, password)
        return str(account["token"])

    async def create_bot(self, name: str, *, denied_intents: int = 0) -> str:
        """Create a bot; returns its token. Raises `ApiError` if the name is taken or invalid.

        `denied_intents`: privileged intents that it may not use, as if they weren't switched on in Discord's portal.
        """
        token, _ = await self.service.accounts.create_bot(name, denied_intents=denied_intents)
        return token

    def in_thread(self) -> ThreadedServer[ChatServer]:
        """Return a context manager for synchronous code, which runs the server on an event loop in a thread."""
        return ThreadedServer(self)

    async def start(self) -> None:
        """Open the store and listen."""
        async with contextlib.AsyncExitStack() as stack:
            cheap = PasswordService(PasswordHasher(1, 8, 1)) if self._where == _MEMORY else None
            opening = ChatService.open(
                self._where,
                self._gateway,
                shared=self._cluster is not None,
                passwords=cheap,
                login_lifetime=self._login_lifetime,
                registration=self._registration,
                denied_intents=self._gateway.options.disallowed_intents,
                files_url=lambda: self.public.origin,
            )
            self._service = await stack.enter_async_context(opening)
            if self._cluster is not None:
                await self._service.store.agree_on(self._shared_settings)
                await stack.enter_async_context(self._cluster.running(self._service))
            stack.push_async_callback(self._gateway.stop)
            await self._listen(stack)
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        """Send op 7 and close all connections in order, within the close timeout; then close the store."""
        await self._stack.aclose()
        self._service = None

    @property
    def _shared_settings(self) -> dict[str, str]:
        """The settings in which the servers of a cluster are alike, as a client could choose one that allows more."""
        options = self._gateway.options
        return {
            "--registration": self._registration,
            "--login-days": f"{self._login_lifetime / 86_400:g}",
            "--identify-interval": f"{options.identify_interval:g}",
            "identify_limit": str(options.identify_limit),
            "max_concurrency": str(options.max_concurrency),
            "disallowed_intents": str(int(options.disallowed_intents)),
        }

    async def _listen(self, stack: contextlib.AsyncExitStack) -> None:
        if self._gateway_port is not None:
            try:
                await self._gateway.start(self.service, self._host, self._gateway_port)
            except OSError as error:
                raise PortTaken(self._host, self._gateway_port, "--gateway-port", error) from error
        try:
            sockets = await bind_host(self._host, self._port)
        except OSError as error:
            raise PortTaken(self._host, self._port, "--port", error) from error
        for sock in sockets:
            stack.callback(sock.close)
        authority = f"{f'[{self._host}]' if ':' in self._host else self._host}:{sockets[0].getsockname()[1]}"
        self.api_url = f"http://{authority}/api/v10"
        if self._gateway_port is None:
            self._gateway.serve(self.service, f"ws://{authority}/")
        control = ControlEndpoint(self._gateway.state, self.faults, self.service)
        health = HealthCheck(self.service.store, self._cluster, is_stopping=lambda: self._gateway.is_stopping)
        stack.push_async_callback(health.stop)
        app = make_app(
            self.service,
            gateway_url=lambda: self.public_gateway_url,
            session_start_limit=self._gateway.session_start_limit,
            proxies=self._proxies,
            guard=self._gateway.state.login_guard,
            hooks=[
                self._origins.preflight_hook(self._scheme_of),
                self._origins.hook(self._scheme_of),
                control.hook,
                self.faults.hook,
            ],
            sharer=self._origins.sharer(self._scheme_of),
            loses=self.faults.loses,
            page=self._page,
            health=health.respond,
            observers=self._observers,
            max_per_client=self._gateway.options.max_http_per_address,
        )
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(self._stop_both, runner)
        if runner.server is None:
            raise RuntimeError("aiohttp has made no server")
        options = self._gateway.options
        limit = options.max_connections
        addresses = AddressCounter(options.max_http_per_address, self._proxies)
        self._http = HttpConnectionLimiter(runner.server, limit, addresses=addresses)
        self._http.on_malformed = self._note_malformed
        if self._metrics is not None:
            stack.callback(self._metrics.stop)
            await self._metrics.start()
        undecided = AddressCounter(options.max_per_address, self._proxies)
        shared = SharedPort(self._http, self._gateway, limit, IDLE_TIMEOUT, undecided)
        close = await serve_sockets(sockets, shared, backlog=_BACKLOG)
        stack.callback(shared.close)
        stack.callback(close)
        if self._control_file is not None:
            control.write_file(self._control_file, f"http://{authority}/control/")
            stack.callback(control.remove_file, self._control_file)

    def _metrics_endpoint(self, address: str) -> MetricsEndpoint:
        endpoint = Endpoint.parse(address, "--metrics", unix=False)
        made = MetricsEndpoint(endpoint, lambda: self.stats, lambda: 0 if self._http is None else self._http.open)
        self._observers.append(made.requests)
        return made

    def _note_malformed(self, address: str, status: int) -> None:
        route = MALFORMED_ROUTE
        record = RequestRecord(address=address, method="OTHER", route=route, path=route, status=status)
        for observer in self._observers:
            observer(record)

    def _scheme_of(self, request: web.Request) -> str | None:
        return self._proxies.source_of(str(request.remote), lambda name: request.headers.getall(name, ())).scheme

    async def _stop_both(self, runner: web.AppRunner) -> None:
        """Stop HTTP and the gateway at the same time, so that their timeouts do not add up."""
        gateway = asyncio.ensure_future(self._gateway.stop())
        try:
            await runner.cleanup()
        finally:
            await gateway


def _told_gateway_url(given: str | None, public: PublicUrl | None) -> str | None:
    if given is not None:
        return check_gateway_url(given)
    return None if public is None else public.gateway_url


def _cluster_node(url: str, gateway: GatewayServer) -> ClusterNode:
    try:
        from .cluster import ClusterNode as Node  # noqa: PLC0415 - it needs redis-py
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise MissingExtra('a cluster needs redis: pip install "onesocket-discord[server,postgresql,redis]"') from error
    node = Node(url, gateway.state, gateway.deliver, gateway.sign_out, gateway.invalidate)
    gateway.state.cluster = node
    gateway.state.presences.share(node)
    return node


class PortTaken(UsageError):
    """The server can't listen on this port."""

    def __init__(self, host: str, port: int, option: str, error: OSError) -> None:
        super().__init__(f"can't listen on {host}:{port}: {error.strerror or error}; choose another port with {option}")
