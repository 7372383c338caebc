"""The scenarios: a client in front of a proxy, and a counting server behind it. Each raises `AssertionError`."""

from __future__ import annotations

import asyncio
import random
import ssl as ssl_module
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import onesocket
from onesocket.errors import ConnectionFailure, HandshakeRejected, OnesocketError, OpenTimeout
from onesocket.testing import Fault, FaultyServer
from tests.campaigns.proxies.proxy import IDLE_SECONDS, Proxy

_SECONDS: Final = 20.0
_SECRET: Final = "s3cr3t-t0ken"
"""Part of a header: no error may show it."""
_SIZES: Final = (0, 1, 125, 126, 65_535, 65_536, 200_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Stage:
    """The programs of one scenario."""

    proxy: Proxy
    backend: FaultyServer
    trust: ssl_module.SSLContext | None
    seed: int

    def client(self, path: str = "", **options: Any) -> onesocket.Client:
        """Make a client of the proxy."""
        return onesocket.Client(self.proxy.url + path, ssl=self.trust, proxy=None, **options)

    async def wait(self, condition: Callable[[], bool], label: str) -> None:
        """Wait for the backend's counts."""
        try:
            await self.backend.wait_until(lambda _: condition(), _SECONDS)
        except TimeoutError:
            raise AssertionError(f"{label}: not seen; {self.backend.counts}") from None


async def one_connection_for_many_callers(stage: Stage) -> str:
    """Twenty callers, one connection; messages of all sizes come back, and the close code arrives."""
    chance = random.Random(stage.seed)
    client = stage.client(ping_interval=0.3)
    await asyncio.gather(*(client.connect() for _ in range(20)))
    handshake = client.handshake
    _expect(
        handshake is not None and ("x-proxy", stage.proxy.name) in handshake.headers, "the proxy's header is missing"
    )
    stream = client.subscribe()
    for size in _SIZES:
        for message in (chance.randbytes(size), "é" * (size // 2)):
            await client.send(message)
            async with asyncio.timeout(_SECONDS):
                _expect(await anext(stream) == message, f"another message of {size} bytes came back")
    await client.aclose()
    await stage.wait(lambda: stage.backend.counts.close_codes != {}, "the CLOSE")
    counts = stage.backend.counts
    _expect(counts.most_sockets == 1 and counts.handshakes == 1, f"more than one connection: {counts}")
    _expect(set(counts.close_codes) <= {1000, 1001}, f"close codes {counts.close_codes}")
    return "one connection; everything came back"


async def an_idle_connection_is_cut(stage: Stage) -> str:
    """Without PINGs a proxy with an idle limit cuts the connection, which is resumed; with PINGs it stays."""
    if stage.proxy.name == "caddy":
        return "Caddy 2.6 has no idle limit"
    async with stage.client(ping_interval=None) as client:
        await stage.wait(lambda: stage.backend.counts.handshakes >= 2, "a resumed connection")
        loss = client.status.last_loss
        _expect(isinstance(loss, ConnectionFailure), f"the loss was {loss!r}")
    await stage.wait(lambda: stage.backend.counts.sockets_now == 0, "the end of the first client")
    stage.backend.reset_counts()
    async with stage.client(ping_interval=IDLE_SECONDS / 4):
        await stage.wait(lambda: stage.backend.counts.pings >= 12, "twelve PINGs")
        _expect(stage.backend.counts.handshakes == 1, f"cut in spite of PINGs: {stage.backend.counts}")
    return f"{type(loss).__name__}, resumed; PINGs keep it"


async def reload_in_traffic(stage: Stage) -> str:
    """Three reloads of the configuration while messages flow."""
    return await _in_traffic(stage, stage.proxy.reload)


async def restart_in_traffic(stage: Stage) -> str:
    """Three restarts of the proxy while messages flow."""

    async def restart() -> None:
        await stage.proxy.stop()
        await stage.proxy.start()

    return await _in_traffic(stage, restart)


async def _in_traffic(stage: Stage, disturb: Callable[[], Awaitable[None]]) -> str:
    echoed: list[onesocket.Data] = []
    async with stage.client(ping_interval=0.3) as client:
        client.on(echoed.append)
        for _ in range(3):
            seen = len(echoed)
            await disturb()
            await _exchange(client, echoed, seen + 5)
        await stage.wait(lambda: stage.backend.counts.open_now == 1, "a single connection at the end")
        is_resumed = client.status.epoch > 1
    return "resumed" if is_resumed else "survived"


async def _exchange(client: onesocket.Client, echoed: list[onesocket.Data], number: int) -> None:
    """Send until so many messages have come back."""
    try:
        async with asyncio.timeout(_SECONDS):
            while len(echoed) < number:
                await client.send(f"{number} {len(echoed)}", resend=True)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{len(echoed)} echoes; {client.status}") from None


async def the_backend_is_gone(stage: Stage) -> str:
    """The proxy answers for a backend that doesn't listen; the client says so, and comes back with it."""
    await stage.backend.stop_listening(kill=True)
    error = await _refusal(stage.client(reconnect=None))
    _expect(isinstance(error, HandshakeRejected) and error.status in {502, 503, 504}, f"{error!r}")
    _expect(error.retryable, f"not retryable: {error}")
    await stage.backend.start()
    async with stage.client() as client:
        await stage.backend.stop_listening(kill=True)
        await client.wait_for(onesocket.State.BACKING_OFF, onesocket.State.CONNECTING, timeout=_SECONDS)
        await stage.backend.start()
        await stage.wait(lambda: stage.backend.counts.open_now == 1, "the resumed connection")
    return f"HTTP {getattr(error, 'status', 0)}, retryable; came back"


async def the_backend_is_mute(stage: Stage) -> str:
    """The backend takes the request and never answers."""
    stage.backend.faults = Fault.hold_upgrade(asyncio.Event())
    error = await _refusal(stage.client(reconnect=None, open_timeout=3.0))
    is_timeout = isinstance(error, OpenTimeout) or (isinstance(error, HandshakeRejected) and error.status in {502, 504})
    _expect(is_timeout and error.retryable, f"{error!r}")
    await stage.wait(lambda: stage.backend.counts.sockets_now == 0, "the end of the request")
    stage.backend.faults = None
    async with stage.client():
        await stage.wait(lambda: stage.backend.counts.open_now == 1, "the next connection")
    return f"{_told(error)}"


async def an_oversized_header(stage: Stage) -> str:
    """A header of 40 kB, more than proxies and servers take."""
    headers = {"X-Token": _SECRET + "x" * 40_000}
    error = await _refusal(stage.client(reconnect=None, headers=headers, open_timeout=5.0))
    _expect(isinstance(error, HandshakeRejected | ConnectionFailure), f"{error!r}")
    _expect(_SECRET not in str(error), "the error shows the secret")
    async with stage.client():
        await stage.wait(lambda: stage.backend.counts.open_now == 1, "the next connection")
    return f"{_told(error)}"


async def a_proxy_that_strips_the_upgrade(stage: Stage) -> str:
    """A proxy that isn't configured for WebSockets: the backend sees a plain request."""
    error = await _refusal(stage.client("stripped", reconnect=None))
    _expect(isinstance(error, HandshakeRejected), f"{error!r}")
    _expect("Upgrade" in str(error), f"no word on the missing header: {error}")
    _expect(stage.backend.counts.upgraded == 0, "the backend has upgraded")
    return f"{_told(error)}"


async def a_limit_of_one_connection(stage: Stage) -> str:
    """The proxy lets one connection through; the second client gets in when the first has left."""
    if stage.proxy.name == "caddy":
        return "Caddy 2.6 has no limit"
    first = stage.client("one", ping_interval=0.3)
    await first.connect()
    error = await _refusal(stage.client("one", reconnect=None))
    _expect(isinstance(error, HandshakeRejected) and error.status == 503 and error.retryable, f"{error!r}")
    await first.aclose()
    await stage.wait(lambda: stage.backend.counts.sockets_now == 0, "the end of the first")
    async with stage.client("one"):
        await stage.wait(lambda: stage.backend.counts.open_now == 1, "the second")
    _expect(stage.backend.counts.most_sockets == 1, f"{stage.backend.counts}")
    return f"{_told(error)}"


SCENARIOS: Final[tuple[Callable[[Stage], Awaitable[str]], ...]] = (
    one_connection_for_many_callers,
    an_idle_connection_is_cut,
    reload_in_traffic,
    restart_in_traffic,
    the_backend_is_gone,
    the_backend_is_mute,
    an_oversized_header,
    a_proxy_that_strips_the_upgrade,
    a_limit_of_one_connection,
)


async def _refusal(client: onesocket.Client) -> OnesocketError:
    try:
        await client.connect()
    except OnesocketError as error:
        return error
    finally:
        await client.aclose()
    raise AssertionError("the connection opened")


def _told(error: OnesocketError) -> str:
    status = f"HTTP {error.status}" if isinstance(error, HandshakeRejected) else type(error).__name__
    return f"{status}, {'retryable' if error.retryable else 'final'}"


def _expect(true: object, label: str) -> None:
    if not true:
        raise AssertionError(label)
