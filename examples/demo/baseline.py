"""The same rows for the check-then-connect client: same callers, same faults, every wait bounded.

The client has no recovery, no ping and no reconnect() of its own. Where a row needs one, the code of an application
replaces it: after a loss it calls `connect()`, and a reconnect is `disconnect()`, clearing its flag, `connect()`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from onesocket.testing._faults import Fault
from onesocket.testing._faulty_server import FaultyServer

from .check_then_connect import CheckThenConnectClient, ReadyState
from .harness import BASELINE_DEADLINE, CONNECTED, NO_CONNECTION, Harness
from .scenarios import (
    OUTAGE,
    PING,
    UNATTENDED_SECONDS,
    UPGRADE_DELAY,
    cancelled_places,
    note_handshake_rate,
    restart_server,
)
from .shared_scenarios import PROCESSES, TASKS, THREADS


async def not_connected(harness: Harness) -> None:
    """See `scenarios.not_connected`."""
    harness.server.faults = Fault.slow_upgrade(UPGRADE_DELAY)
    call = _connect(harness.baseline())
    harness.begin()
    harness.group.race(call, harness.callers)
    await harness.group.end()


async def connecting(harness: Harness) -> None:
    """See `scenarios.connecting`."""
    gate = asyncio.Event()
    harness.server.faults = Fault.hold_upgrade(gate)
    cancelled = cancelled_places(harness.rng, harness.callers)
    call = _connect(harness.baseline())
    harness.begin()
    harness.group.add(call)
    await harness.server.wait_until(lambda counts: counts.handshakes == 1)
    await harness.group.stay(call, min(1, harness.callers - 1))
    await harness.group.start_staggered(call, max(0, harness.callers - 2), cancelled=cancelled)
    gate.set()
    await harness.group.end()
    await _settle(harness)


async def all_cancelled(harness: Harness) -> None:
    """See `scenarios.all_cancelled`."""
    gate = asyncio.Event()
    harness.server.faults = Fault.hold_upgrade(gate)
    call = _connect(harness.baseline())
    harness.begin()
    harness.group.race(call, harness.callers)
    await harness.server.wait_until(lambda counts: counts.handshakes == 1)
    await harness.group.cancel(range(harness.callers))
    gate.set()
    await harness.group.end()
    await _settle(harness)


async def connected(harness: Harness) -> None:
    """See `scenarios.connected`."""
    call = _connect(harness.baseline())
    harness.begin()
    await asyncio.wait([harness.group.add(call)], timeout=BASELINE_DEADLINE)
    await harness.group.start_staggered(call, harness.callers - 1)
    await harness.group.end()


async def error(harness: Harness) -> None:
    """See `scenarios.error`."""
    harness.server.faults = [Fault.refuse(503), Fault.slow_upgrade(UPGRADE_DELAY), Fault.slow_upgrade(UPGRADE_DELAY)]
    client = harness.baseline()
    await _try(client.connect)
    harness.begin()
    harness.group.race(_connect(client), harness.callers)
    await harness.group.end()


async def closing(harness: Harness) -> None:
    """See `scenarios.closing`."""
    harness.server.faults = [Fault.never_acknowledge_close()]
    client = harness.baseline()
    await _try(client.connect)
    harness.begin()
    client.disconnect()
    client.is_manually_disconnected = False
    await harness.group.start_staggered(_connect(client), harness.callers)
    await harness.group.end()


async def backing_off(harness: Harness) -> None:
    """See `scenarios.backing_off`."""
    harness.server.faults = [None, Fault.refuse(429), *[Fault.slow_upgrade(UPGRADE_DELAY)] * 2]
    client = harness.baseline()
    await _try(client.connect)
    harness.server.kill_connections()
    await _wait_lost(client)
    await _try(client.connect)
    harness.begin()
    harness.group.race(_connect(client), harness.callers)
    await harness.group.end()


async def stopped(harness: Harness) -> None:
    """See `scenarios.stopped`."""
    client = harness.baseline()
    await _try(client.connect)
    client.disconnect()
    await harness.server.wait_until(lambda counts: counts.open_now == 0)
    harness.begin()
    harness.group.race(_connect(client), harness.callers)
    await harness.group.end()
    client.is_manually_disconnected = False
    harness.group.race(_connect(client), harness.callers)
    await harness.group.end()


async def disconnect(harness: Harness) -> None:
    """See `scenarios.disconnect`."""
    gate = asyncio.Event()
    harness.server.faults = Fault.hold_upgrade(gate)
    client = harness.baseline()
    harness.begin()
    harness.group.race(_connect(client), harness.callers)
    await harness.server.wait_until(lambda counts: counts.handshakes == 1)
    client.disconnect()
    await harness.group.end()
    gate.set()
    await _settle(harness)


async def killed_connection(harness: Harness) -> None:
    """See `scenarios.killed_connection`."""
    client = harness.baseline()
    await _try(client.connect)
    harness.server.faults = Fault.slow_upgrade(UPGRADE_DELAY)
    harness.begin()
    harness.server.kill_connections()
    await harness.group.start_staggered(_connect(client), harness.callers)
    await harness.group.end()


async def restart(harness: Harness) -> None:
    """See `scenarios.restart`."""
    client = harness.baseline()
    await _try(client.connect)
    harness.begin()
    coming = asyncio.ensure_future(harness.group.start_staggered(_connect(client), harness.callers, seconds=2 * OUTAGE))
    await restart_server(harness.server)
    await coming
    await harness.group.end()


async def accept_then_close(harness: Harness) -> None:
    """See `scenarios.accept_then_close`; afterwards `connect()` is called again whenever its socket has closed."""
    harness.server.faults = Fault.accept_then_close(1001, "not now")
    harness.begin()
    harness.group.race(_connect(harness.baseline()), harness.callers)
    await harness.group.end()
    async with FaultyServer(faults=Fault.accept_then_close(1001, "not now")) as server:
        idle = CheckThenConnectClient(server.url)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNATTENDED_SECONDS):
                await _keep_connecting(idle)
        handshakes = server.counts.handshakes
        await idle.force_cleanup()
    note_handshake_rate(harness, handshakes)


async def half_open(harness: Harness) -> None:
    """See `scenarios.half_open`; the client doesn't notice the silence, so it gets as long as onesocket needed."""
    client = harness.baseline()
    await _try(client.connect)
    harness.begin()
    harness.server.connections[0].go_silent()
    await asyncio.sleep(3 * PING)
    dead = harness.server.connections[0]

    async def call() -> str:
        await client.connect()
        return NO_CONNECTION if harness.server.connections == [dead] else CONNECTED

    harness.group.race(call, harness.callers)
    await harness.group.end()


def _connect(client: CheckThenConnectClient) -> Callable[[], Awaitable[str]]:
    async def call() -> str:
        await client.connect()
        return CONNECTED if client.is_connected() else NO_CONNECTION

    return call


async def _try(connect: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(BASELINE_DEADLINE):
            await connect()


async def _wait_lost(client: CheckThenConnectClient) -> None:
    if client.ws is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BASELINE_DEADLINE):
                await client.ws.wait_closed()


async def _settle(harness: Harness) -> None:
    """Wait until an upgrade in flight is counted, at most 0.3 s."""
    with contextlib.suppress(TimeoutError):
        await harness.server.wait_until(lambda counts: counts.upgraded > 0, timeout=0.3)


async def _keep_connecting(client: CheckThenConnectClient) -> None:
    while True:
        with contextlib.suppress(ConnectionError):
            await client.connect()
        if client.ws is not None and client.ws.ready_state is not ReadyState.CLOSED:
            await client.ws.wait_closed()
        await asyncio.sleep(0)


async def threads(harness: Harness) -> None:
    """See `shared_scenarios.threads`; the client belongs to one event loop, so each thread has its own."""
    await _one_client_per_thread(harness, THREADS, TASKS)


async def processes(harness: Harness) -> None:
    """See `shared_scenarios.processes`: each thread of each process has a client of its own."""
    await _one_client_per_thread(harness, PROCESSES * THREADS, TASKS)


async def _one_client_per_thread(harness: Harness, clients: int, callers: int) -> None:
    harness.begin()
    for _ in range(clients):
        harness.group.race(_connect(harness.baseline()), callers)
    await harness.group.end()
