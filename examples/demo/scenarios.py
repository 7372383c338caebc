"""The plays of onesocket: in each, exactly one handshake is needed, and everybody's outcome is known."""

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

# Seconds. Long enough for every caller to find the attempt in flight, whatever the machine.
UPGRADE_DELAY = 0.05
OUTAGE = 0.15
UNATTENDED_SECONDS = 1.5
PING = 0.1
# In `UNATTENDED_SECONDS` seconds the default policy makes about four; the chance of more than twelve is below 10**-9.
MAX_UNATTENDED_HANDSHAKES = 12
CANCELLED_SHARE = 0.3


def cancelled_places(rng: random.Random, callers: int) -> frozenset[int]:
    """Who is cancelled: 30 % of the crowd, the opener perhaps among them, but never the second: somebody stays.

    (Were the opener cancelled while nobody else waits, the attempt would rightly be wound down: `all_cancelled`.)
    """
    return frozenset(rng.sample([place for place in range(callers) if place != 1], int(callers * CANCELLED_SHARE)))


async def not_connected(stage: Harness) -> None:
    """Nobody has connected yet; all come in the same tick."""
    stage.server.faults = Fault.slow_upgrade(UPGRADE_DELAY)
    client = stage.client()
    stage.begin()
    stage.crowd.race(client.connect, stage.callers)
    await stage.crowd.end()
    stage.expect({OPENED: 1, JOINED: stage.callers - 1})


async def connecting(stage: Harness) -> None:
    """The server has the upgrade request; then the others come, and 30 % are cancelled meanwhile."""
    gate = asyncio.Event()
    stage.server.faults = Fault.hold_upgrade(gate)
    cancelled = cancelled_places(stage.rng, stage.callers)
    client = stage.client()
    stage.begin()
    stage.crowd.add(client.connect)
    await stage.server.wait_until(lambda counts: counts.handshakes == 1)
    await stage.crowd.stay(client.connect, min(1, stage.callers - 1))
    await stage.crowd.start_staggered(client.connect, max(0, stage.callers - 2), cancelled=cancelled)
    gate.set()
    await stage.crowd.end()
    opened = int(0 not in cancelled)
    stage.expect({CANCELLED: len(cancelled), OPENED: opened, JOINED: stage.callers - len(cancelled) - opened})


async def all_cancelled(stage: Harness) -> None:
    """Everybody is cancelled while the server has the upgrade request: it is waited for, then closed with 1000."""
    gate = asyncio.Event()
    stage.server.faults = Fault.hold_upgrade(gate)
    client = stage.client()
    stage.begin()
    stage.crowd.race(client.connect, stage.callers)
    await stage.server.wait_until(lambda counts: counts.handshakes == 1)
    await stage.crowd.cancel(range(stage.callers))
    gate.set()
    await stage.crowd.end()
    await client.wait_for(State.DISCONNECTED, timeout=CLOSE_TIMEOUT)
    stage.expect({CANCELLED: stage.callers})
    _require_polite_end(stage)


async def connected(stage: Harness) -> None:
    """One opens the line; the others find it up."""
    client = stage.client()
    stage.begin()
    await asyncio.wait([stage.crowd.add(client.connect)], timeout=OPEN_TIMEOUT)
    await stage.crowd.start_staggered(client.connect, stage.callers - 1)
    await stage.crowd.end()
    stage.expect({OPENED: 1, ALREADY: stage.callers - 1})


async def error(stage: Harness) -> None:
    """The last attempt was refused with 503."""
    stage.server.faults = [Fault.refuse(503), Fault.slow_upgrade(UPGRADE_DELAY)]
    client = stage.client()
    try:
        await client.connect()
    except HandshakeRejected:
        pass
    else:
        stage.broken.append("a refused upgrade counted as a connection")
    stage.begin()
    stage.crowd.race(client.connect, stage.callers)
    await stage.crowd.end()
    stage.expect({OPENED: 1, JOINED: stage.callers - 1})


async def closing(stage: Harness) -> None:
    """Somebody calls reconnect(), and the server never acknowledges the close; the others come meanwhile."""
    stage.server.faults = [Fault.never_acknowledge_close()]
    client = stage.client(close_timeout=0.3)
    await client.connect()
    stage.begin()
    stage.crowd.add(client.reconnect)
    await stage.crowd.start_staggered(client.connect, stage.callers - 1)
    await stage.crowd.end()
    stage.expect({OPENED: 1, JOINED: stage.callers - 1})


async def backing_off(stage: Harness) -> None:
    """The line was lost, and the server wants to be left alone for a minute; then somebody really needs it."""
    stage.server.faults = [None, Fault.too_many_requests(60), Fault.slow_upgrade(UPGRADE_DELAY)]
    client = stage.client()
    await client.connect()
    stage.server.kill_connections()
    await stage.server.wait_until(lambda counts: counts.refused == 1)
    await client.wait_for(State.BACKING_OFF, timeout=OPEN_TIMEOUT)
    stage.begin()
    stage.crowd.race(client.connect, stage.callers)
    await stage.crowd.end()
    stage.expect({OPENED: 1, JOINED: stage.callers - 1})


async def stopped(stage: Harness) -> None:
    """disconnect() was called: connect() is refused, reconnect() lifts that."""
    client = stage.client()
    await client.connect()
    await client.disconnect()
    stage.begin()
    stage.crowd.race(client.connect, stage.callers)
    await stage.crowd.end()
    stage.require(stage.server.counts.tcp_accepted == 0, "connect() dialled after disconnect()")
    stage.crowd.race(client.reconnect, stage.callers)
    await stage.crowd.end()
    stage.expect({"ManuallyDisconnected": stage.callers, OPENED: 1, JOINED: stage.callers - 1})


async def disconnect(stage: Harness) -> None:
    """The owner disconnects while the server has the upgrade request: nobody hangs, and no socket is orphaned."""
    gate = asyncio.Event()
    stage.server.faults = Fault.hold_upgrade(gate)
    client = stage.client()
    stage.begin()
    stage.crowd.race(client.connect, stage.callers)
    await stage.server.wait_until(lambda counts: counts.handshakes == 1)
    async with asyncio.timeout(OPEN_TIMEOUT + CLOSE_TIMEOUT):
        leaving = asyncio.ensure_future(client.disconnect())
        await stage.crowd.end()  # they are told at once, not when the upgrade is through
        gate.set()
        await leaving
    stage.expect({"ConnectAborted": stage.callers})
    stage.require(client.state is State.STOPPED, f"{client.state.name} after disconnect()")
    _require_polite_end(stage)


async def killed_connection(stage: Harness) -> None:
    """The line is reset; callers come before, while and after that is noticed."""
    client = stage.client()
    await client.connect()
    stage.server.faults = Fault.slow_upgrade(UPGRADE_DELAY)
    stage.begin()
    stage.server.kill_connections()
    await stage.crowd.start_staggered(client.connect, stage.callers)
    await stage.crowd.end()
    await stage.server.wait_until(lambda counts: counts.upgraded > 0)
    await client.wait_for(State.CONNECTED, timeout=OPEN_TIMEOUT)
    stage.expect({}, rest=CONNECTED_OUTCOMES)
    stage.require(stage.crowd.outcomes[OPENED] <= 1, f"{stage.crowd.outcomes[OPENED]} callers opened the one line")


async def restart(stage: Harness) -> None:
    """The server says 1012, is away for a while, and comes back; callers come all the time."""
    client = stage.client(reconnect=ReconnectPolicy(initial=0.05, cap=0.1))
    await client.connect()
    stage.begin()
    coming = asyncio.ensure_future(stage.crowd.start_staggered(client.connect, stage.callers, seconds=2 * OUTAGE))
    await restart_server(stage.server)
    await coming
    await stage.crowd.end()
    await stage.server.wait_until(lambda counts: counts.upgraded > 0)
    await client.wait_for(State.CONNECTED, timeout=OPEN_TIMEOUT)
    stage.expect({}, rest=CONNECTED_OUTCOMES | {"ConnectionRefused", "ConnectionReset"})


async def accept_then_close(stage: Harness) -> None:
    """The server accepts and closes at once: one outcome for all; and then it isn't hammered."""
    stage.server.faults = Fault.accept_then_close(1001, "not now")
    # What the callers cause is counted without reconnection; what the client itself causes is counted below.
    client = stage.client(reconnect=None)
    stage.begin()
    stage.crowd.race(client.connect, stage.callers)
    await stage.crowd.end()
    await client.wait_for(State.FAILED, timeout=CLOSE_TIMEOUT)
    stage.expect({OPENED: 1, JOINED: stage.callers - 1})
    async with FaultyServer(faults=Fault.accept_then_close(1001, "not now")) as server:
        lonely = type(client)(server.url, open_timeout=OPEN_TIMEOUT, close_timeout=CLOSE_TIMEOUT)
        await lonely.connect()
        await asyncio.sleep(UNATTENDED_SECONDS)
        counts = server.counts
        await lonely.aclose()
    note_handshake_rate(stage, counts.handshakes)
    stage.require(counts.handshakes <= MAX_UNATTENDED_HANDSHAKES, f"hammers the server: {stage.notes[-1]}")
    stage.require(counts.most_open <= 1, f"{counts.most_open} open at once, 1 allowed")


async def half_open(stage: Harness) -> None:
    """The server falls silent; the zombie is found, and everybody joins the new line."""
    client = stage.client(ping_interval=PING, ping_timeout=PING)
    await client.connect()
    stage.server.faults = Fault.slow_upgrade(2 * PING)
    stage.begin()
    stage.server.connections[0].go_silent()
    await client.wait_for(State.CLOSING, State.BACKING_OFF, State.CONNECTING, State.FAILED, timeout=OPEN_TIMEOUT)
    stage.crowd.race(client.connect, stage.callers)
    await stage.crowd.end()
    stage.expect({}, rest=frozenset({OPENED, JOINED}))
    stage.require(stage.crowd.outcomes[OPENED] <= 1, f"{stage.crowd.outcomes[OPENED]} callers opened the one line")


async def restart_server(server: FaultyServer) -> None:
    """An orderly restart with an outage: 1012 to everybody, nobody listens, then it is back."""
    await server.stop_listening()
    await server.close_connections(1012, "restarting")
    await asyncio.sleep(OUTAGE)
    await server.start()


def note_handshake_rate(stage: Harness, handshakes: int) -> None:
    """Note what a server that accepts and closes had to bear from a client that was left alone."""
    stage.figures["handshakes_left_alone"] = handshakes
    stage.figures["handshakes_per_second_left_alone"] = round(handshakes / UNATTENDED_SECONDS, 1)
    stage.notes.append(f"{handshakes} handshakes in {UNATTENDED_SECONDS:g} s ({handshakes / UNATTENDED_SECONDS:.1f}/s)")


def _require_polite_end(stage: Harness) -> None:
    codes = dict(stage.server.counts.close_codes)
    stage.require(codes == {1000: 1}, f"closed with {codes or 'no code'}, one 1000 expected")
