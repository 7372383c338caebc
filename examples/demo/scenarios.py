"""The scenarios for `Client`: each needs exactly one handshake, and the result of every caller is known."""

from __future__ import annotations

import asyncio
import random

from onesocket.errors import HandshakeRejected
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import State
from onesocket.testing._faults import Fault
from onesocket.testing._faulty_server import FaultyServer

from .callers import CANCELLED
from .harness import CLOSE_TIMEOUT, OPEN_TIMEOUT, Harness

OPENED, JOINED, ALREADY = "opened", "joined", "already connected"
CONNECTED_OUTCOMES = frozenset({OPENED, JOINED, ALREADY})

# Seconds. Long enough for every caller to find the attempt in flight, also on a slow machine.
UPGRADE_DELAY = 0.05
OUTAGE = 0.15
UNATTENDED_SECONDS = 1.5
PING = 0.1
# In `UNATTENDED_SECONDS` seconds the default policy makes about four; the chance of more than twelve is below 10**-9.
MAX_UNATTENDED_HANDSHAKES = 12
CANCELLED_SHARE = 0.3


def cancelled_places(rng: random.Random, callers: int) -> frozenset[int]:
    """Return the indexes of 30 % of the callers, perhaps with the first, but without the second, which stays.

    (If all waiting callers were cancelled, the attempt would be ended: see `all_cancelled`.)
    """
    return frozenset(rng.sample([place for place in range(callers) if place != 1], int(callers * CANCELLED_SHARE)))


async def not_connected(harness: Harness) -> None:
    """Call connect() from all callers in the same turn of the loop, before any connection."""
    harness.server.faults = Fault.slow_upgrade(UPGRADE_DELAY)
    client = harness.client()
    harness.begin()
    harness.group.race(client.connect, harness.callers)
    await harness.group.end()
    harness.expect({OPENED: 1, JOINED: harness.callers - 1})


async def connecting(harness: Harness) -> None:
    """Add callers while the server has the upgrade request, and cancel 30 % of them meanwhile."""
    gate = asyncio.Event()
    harness.server.faults = Fault.hold_upgrade(gate)
    cancelled = cancelled_places(harness.rng, harness.callers)
    client = harness.client()
    harness.begin()
    harness.group.add(client.connect)
    await harness.server.wait_until(lambda counts: counts.handshakes == 1)
    await harness.group.stay(client.connect, min(1, harness.callers - 1))
    await harness.group.start_staggered(client.connect, max(0, harness.callers - 2), cancelled=cancelled)
    gate.set()
    await harness.group.end()
    opened = int(0 not in cancelled)
    harness.expect({CANCELLED: len(cancelled), OPENED: opened, JOINED: harness.callers - len(cancelled) - opened})


async def all_cancelled(harness: Harness) -> None:
    """Cancel all callers while the server has the upgrade request: its answer is awaited, then 1000 closes."""
    gate = asyncio.Event()
    harness.server.faults = Fault.hold_upgrade(gate)
    client = harness.client()
    harness.begin()
    harness.group.race(client.connect, harness.callers)
    await harness.server.wait_until(lambda counts: counts.handshakes == 1)
    await harness.group.cancel(range(harness.callers))
    gate.set()
    await harness.group.end()
    await client.wait_for(State.DISCONNECTED, timeout=CLOSE_TIMEOUT)
    harness.expect({CANCELLED: harness.callers})
    _require_normal_close(harness)


async def connected(harness: Harness) -> None:
    """Open the connection by one caller; the others find it up."""
    client = harness.client()
    harness.begin()
    await asyncio.wait([harness.group.add(client.connect)], timeout=OPEN_TIMEOUT)
    await harness.group.start_staggered(client.connect, harness.callers - 1)
    await harness.group.end()
    harness.expect({OPENED: 1, ALREADY: harness.callers - 1})


async def error(harness: Harness) -> None:
    """Connect after an attempt that was refused with 503."""
    harness.server.faults = [Fault.refuse(503), Fault.slow_upgrade(UPGRADE_DELAY)]
    client = harness.client()
    try:
        await client.connect()
    except HandshakeRejected:
        pass
    else:
        harness.broken.append("a refused upgrade counted as a connection")
    harness.begin()
    harness.group.race(client.connect, harness.callers)
    await harness.group.end()
    harness.expect({OPENED: 1, JOINED: harness.callers - 1})


async def closing(harness: Harness) -> None:
    """Call connect() during a reconnect() whose close the server never acknowledges."""
    harness.server.faults = [Fault.never_acknowledge_close()]
    client = harness.client(close_timeout=0.3)
    await client.connect()
    harness.begin()
    harness.group.add(client.reconnect)
    await harness.group.start_staggered(client.connect, harness.callers - 1)
    await harness.group.end()
    harness.expect({OPENED: 1, JOINED: harness.callers - 1})


async def backing_off(harness: Harness) -> None:
    """Call connect() after a loss, during the pause after a refusal by a busy server."""
    harness.server.faults = [None, Fault.refuse(429), Fault.slow_upgrade(UPGRADE_DELAY)]
    client = harness.client()
    await client.connect()
    harness.server.kill_connections()
    await harness.server.wait_until(lambda counts: counts.refused == 1)
    await client.wait_for(State.BACKING_OFF, timeout=OPEN_TIMEOUT)
    harness.begin()
    harness.group.race(client.connect, harness.callers)
    await harness.group.end()
    harness.expect({OPENED: 1, JOINED: harness.callers - 1})


async def stopped(harness: Harness) -> None:
    """Call connect() after disconnect(), which is refused, then reconnect()."""
    client = harness.client()
    await client.connect()
    await client.disconnect()
    harness.begin()
    harness.group.race(client.connect, harness.callers)
    await harness.group.end()
    harness.require(harness.server.counts.tcp_accepted == 0, "connect() dialled after disconnect()")
    harness.group.race(client.reconnect, harness.callers)
    await harness.group.end()
    harness.expect({"ManuallyDisconnected": harness.callers, OPENED: 1, JOINED: harness.callers - 1})


async def disconnect(harness: Harness) -> None:
    """Disconnect while the server has the upgrade request: no caller hangs, and no socket is orphaned."""
    gate = asyncio.Event()
    harness.server.faults = Fault.hold_upgrade(gate)
    client = harness.client()
    harness.begin()
    harness.group.race(client.connect, harness.callers)
    await harness.server.wait_until(lambda counts: counts.handshakes == 1)
    async with asyncio.timeout(OPEN_TIMEOUT + CLOSE_TIMEOUT):
        leaving = asyncio.ensure_future(client.disconnect())
        await harness.group.end()  # callers get their error at once, before the upgrade is answered
        gate.set()
        await leaving
    harness.expect({"ConnectAborted": harness.callers})
    harness.require(client.state is State.STOPPED, f"{client.state.name} after disconnect()")
    _require_normal_close(harness)


async def killed_connection(harness: Harness) -> None:
    """Reset the connection; callers come before, while and after the client notices."""
    client = harness.client()
    await client.connect()
    harness.server.faults = Fault.slow_upgrade(UPGRADE_DELAY)
    harness.begin()
    harness.server.kill_connections()
    await harness.group.start_staggered(client.connect, harness.callers)
    await harness.group.end()
    await harness.server.wait_until(lambda counts: counts.upgraded > 0)
    await client.wait_for(State.CONNECTED, timeout=OPEN_TIMEOUT)
    harness.expect({}, rest=CONNECTED_OUTCOMES)
    _require_one_opener(harness)


async def restart(harness: Harness) -> None:
    """Restart the server, with a close by 1012 and an outage; callers come all the time."""
    client = harness.client(reconnect=ReconnectPolicy(initial=0.05, cap=0.1))
    await client.connect()
    harness.begin()
    coming = asyncio.ensure_future(harness.group.start_staggered(client.connect, harness.callers, seconds=2 * OUTAGE))
    await restart_server(harness.server)
    await coming
    await harness.group.end()
    await harness.server.wait_until(lambda counts: counts.upgraded > 0)
    await client.wait_for(State.CONNECTED, timeout=OPEN_TIMEOUT)
    harness.expect({}, rest=CONNECTED_OUTCOMES | {"ConnectionRefused", "ConnectionReset"})


async def accept_then_close(harness: Harness) -> None:
    """Connect to a server that accepts and closes at once: one outcome for all, and no flood of handshakes after."""
    harness.server.faults = Fault.accept_then_close(1001, "not now")
    # Handshakes of the callers are counted without reconnection; those of the client itself below.
    client = harness.client(reconnect=None)
    harness.begin()
    harness.group.race(client.connect, harness.callers)
    await harness.group.end()
    await client.wait_for(State.FAILED, timeout=CLOSE_TIMEOUT)
    harness.expect({OPENED: 1, JOINED: harness.callers - 1})
    async with FaultyServer(faults=Fault.accept_then_close(1001, "not now")) as server:
        idle = type(client)(server.url, open_timeout=OPEN_TIMEOUT, close_timeout=CLOSE_TIMEOUT)
        await idle.connect()
        await asyncio.sleep(UNATTENDED_SECONDS)
        counts = server.counts
        await idle.aclose()
    note_handshake_rate(harness, counts.handshakes)
    harness.require(counts.handshakes <= MAX_UNATTENDED_HANDSHAKES, f"hammers the server: {harness.notes[-1]}")
    harness.require(counts.most_open <= 1, f"{counts.most_open} open at once, 1 allowed")


async def half_open(harness: Harness) -> None:
    """Let the server fall silent; the client detects that by PING, and all callers join the new connection."""
    client = harness.client(ping_interval=PING, ping_timeout=PING)
    await client.connect()
    harness.server.faults = Fault.slow_upgrade(2 * PING)
    harness.begin()
    harness.server.connections[0].go_silent()
    await client.wait_for(State.CLOSING, State.BACKING_OFF, State.CONNECTING, State.FAILED, timeout=OPEN_TIMEOUT)
    harness.group.race(client.connect, harness.callers)
    await harness.group.end()
    harness.expect({}, rest=frozenset({OPENED, JOINED}))
    _require_one_opener(harness)


async def restart_server(server: FaultyServer) -> None:
    """Restart the server in order: close all with 1012, refuse connections for a while, listen again."""
    await server.stop_listening()
    await server.close_connections(1012, "restarting")
    await asyncio.sleep(OUTAGE)
    await server.start()


def note_handshake_rate(harness: Harness, handshakes: int) -> None:
    """Record the handshakes at a server that accepts and closes, from a client without callers."""
    rate = handshakes / UNATTENDED_SECONDS
    harness.figures["handshakes_unattended"] = handshakes
    harness.figures["handshakes_per_second_unattended"] = round(rate, 1)
    harness.notes.append(f"{handshakes} handshakes in {UNATTENDED_SECONDS:g} s ({rate:.1f}/s)")


def _require_normal_close(harness: Harness) -> None:
    codes = dict(harness.server.counts.close_codes)
    harness.require(codes == {1000: 1}, f"closed with {codes or 'no code'}, one 1000 expected")


def _require_one_opener(harness: Harness) -> None:
    opened = harness.group.outcomes[OPENED]
    harness.require(opened <= 1, f"{opened} callers opened the one connection")
