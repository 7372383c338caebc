"""The same rows for the check-then-connect client: same callers, same faults, every wait bounded.

It has no recovery, no ping and no reconnect() of its own. Where a row needs one, it gets what applications write around
it: after a loss somebody calls `connect()`, and a reconnect is `disconnect()`, lifting its flag, `connect()`.
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


async def not_connected(stage: Harness) -> None:
    """See `plays.not_connected`."""
    stage.server.faults = Fault.slow_upgrade(UPGRADE_DELAY)
    call = _connect(stage.baseline())
    stage.begin()
    stage.crowd.race(call, stage.callers)
    await stage.crowd.end()


async def connecting(stage: Harness) -> None:
    """See `plays.connecting`."""
    gate = asyncio.Event()
    stage.server.faults = Fault.hold_upgrade(gate)
    cancelled = cancelled_places(stage.rng, stage.callers)
    call = _connect(stage.baseline())
    stage.begin()
    stage.crowd.add(call)
    await stage.server.wait_until(lambda counts: counts.handshakes == 1)
    await stage.crowd.stay(call, min(1, stage.callers - 1))
    await stage.crowd.start_staggered(call, max(0, stage.callers - 2), cancelled=cancelled)
    gate.set()
    await stage.crowd.end()
    await _settle(stage)


async def all_cancelled(stage: Harness) -> None:
    """See `plays.all_cancelled`."""
    gate = asyncio.Event()
    stage.server.faults = Fault.hold_upgrade(gate)
    call = _connect(stage.baseline())
    stage.begin()
    stage.crowd.race(call, stage.callers)
    await stage.server.wait_until(lambda counts: counts.handshakes == 1)
    await stage.crowd.cancel(range(stage.callers))
    gate.set()
    await stage.crowd.end()
    await _settle(stage)


async def connected(stage: Harness) -> None:
    """See `plays.connected`."""
    call = _connect(stage.baseline())
    stage.begin()
    await asyncio.wait([stage.crowd.add(call)], timeout=BASELINE_DEADLINE)
    await stage.crowd.start_staggered(call, stage.callers - 1)
    await stage.crowd.end()


async def error(stage: Harness) -> None:
    """See `plays.error`."""
    stage.server.faults = [Fault.refuse(503), Fault.slow_upgrade(UPGRADE_DELAY), Fault.slow_upgrade(UPGRADE_DELAY)]
    rival = stage.baseline()
    await _try(rival.connect)
    stage.begin()
    stage.crowd.race(_connect(rival), stage.callers)
    await stage.crowd.end()


async def closing(stage: Harness) -> None:
    """See `plays.closing`."""
    stage.server.faults = [Fault.never_acknowledge_close()]
    rival = stage.baseline()
    await _try(rival.connect)
    stage.begin()
    rival.disconnect()
    rival.is_manually_disconnected = False
    await stage.crowd.start_staggered(_connect(rival), stage.callers)
    await stage.crowd.end()


async def backing_off(stage: Harness) -> None:
    """See `plays.backing_off`."""
    stage.server.faults = [None, Fault.too_many_requests(60), *[Fault.slow_upgrade(UPGRADE_DELAY)] * 2]
    rival = stage.baseline()
    await _try(rival.connect)
    stage.server.kill_connections()
    await _wait_lost(rival)
    await _try(rival.connect)
    stage.begin()
    stage.crowd.race(_connect(rival), stage.callers)
    await stage.crowd.end()


async def stopped(stage: Harness) -> None:
    """See `plays.stopped`."""
    rival = stage.baseline()
    await _try(rival.connect)
    rival.disconnect()
    await stage.server.wait_until(lambda counts: counts.open_now == 0)
    stage.begin()
    stage.crowd.race(_connect(rival), stage.callers)
    await stage.crowd.end()
    rival.is_manually_disconnected = False
    stage.crowd.race(_connect(rival), stage.callers)
    await stage.crowd.end()


async def disconnect(stage: Harness) -> None:
    """See `plays.disconnect`."""
    gate = asyncio.Event()
    stage.server.faults = Fault.hold_upgrade(gate)
    rival = stage.baseline()
    stage.begin()
    stage.crowd.race(_connect(rival), stage.callers)
    await stage.server.wait_until(lambda counts: counts.handshakes == 1)
    rival.disconnect()
    await stage.crowd.end()
    gate.set()
    await _settle(stage)


async def killed_connection(stage: Harness) -> None:
    """See `plays.killed_line`."""
    rival = stage.baseline()
    await _try(rival.connect)
    stage.server.faults = Fault.slow_upgrade(UPGRADE_DELAY)
    stage.begin()
    stage.server.kill_connections()
    await stage.crowd.start_staggered(_connect(rival), stage.callers)
    await stage.crowd.end()


async def restart(stage: Harness) -> None:
    """See `plays.restart`."""
    rival = stage.baseline()
    await _try(rival.connect)
    stage.begin()
    coming = asyncio.ensure_future(stage.crowd.start_staggered(_connect(rival), stage.callers, seconds=2 * OUTAGE))
    await restart_server(stage.server)
    await coming
    await stage.crowd.end()


async def accept_then_close(stage: Harness) -> None:
    """See `plays.accept_then_close`; left alone, it is called again whenever its socket has closed."""
    stage.server.faults = Fault.accept_then_close(1001, "not now")
    stage.begin()
    stage.crowd.race(_connect(stage.baseline()), stage.callers)
    await stage.crowd.end()
    async with FaultyServer(faults=Fault.accept_then_close(1001, "not now")) as server:
        lonely = CheckThenConnectClient(server.url)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNATTENDED_SECONDS):
                await _keep_connecting(lonely)
        handshakes = server.counts.handshakes
        await lonely.force_cleanup()
    note_handshake_rate(stage, handshakes)


async def half_open(stage: Harness) -> None:
    """See `plays.half_open`; nothing in it notices the silence, so it gets as long as the other one needed."""
    rival = stage.baseline()
    await _try(rival.connect)
    stage.begin()
    stage.server.connections[0].go_silent()
    await asyncio.sleep(3 * PING)
    dead = stage.server.connections[0]

    async def call() -> str:
        await rival.connect()
        return NO_CONNECTION if stage.server.connections == [dead] else CONNECTED

    stage.crowd.race(call, stage.callers)
    await stage.crowd.end()


def _connect(rival: CheckThenConnectClient) -> Callable[[], Awaitable[str]]:
    async def call() -> str:
        await rival.connect()
        return CONNECTED if rival.is_connected() else NO_CONNECTION

    return call


async def _try(connect: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(BASELINE_DEADLINE):
            await connect()


async def _wait_lost(rival: CheckThenConnectClient) -> None:
    if rival.ws is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BASELINE_DEADLINE):
                await rival.ws.wait_closed()


async def _settle(stage: Harness) -> None:
    """Let what is in flight come through, so that it is seen: at most 0.3 s."""
    with contextlib.suppress(TimeoutError):
        await stage.server.wait_until(lambda counts: counts.upgraded > 0, timeout=0.3)


async def _keep_connecting(rival: CheckThenConnectClient) -> None:
    while True:
        with contextlib.suppress(ConnectionError):
            await rival.connect()
        if rival.ws is not None and rival.ws.ready_state is not ReadyState.CLOSED:
            await rival.ws.wait_closed()
        await asyncio.sleep(0)


async def threads(stage: Harness) -> None:
    """See `shared_plays.threads`. It belongs to one event loop, so each thread has a client of its own."""
    await _one_client_per_thread(stage, THREADS, TASKS)


async def processes(stage: Harness) -> None:
    """See `shared_plays.processes`: each thread of each process has a client of its own."""
    await _one_client_per_thread(stage, PROCESSES * THREADS, TASKS)


async def _one_client_per_thread(stage: Harness, clients: int, callers: int) -> None:
    stage.begin()
    for _ in range(clients):
        stage.crowd.race(_connect(stage.baseline()), callers)
    await stage.crowd.end()
