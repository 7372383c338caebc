"""Clients after a restart of their server, on virtual time: when they are back, and how often they tried."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from onesocket import State
from onesocket.errors import ConnectionRefused, HandshakeRejected
from onesocket.testing._virtual_time import run_virtual
from onesocket.transports._memory import MemoryPeer, MemoryServer
from tests.unit.onesocket_discord.client.memory_gateway import MemoryGateway
from tests.unit.virtual_time import make_client

OUTAGE = 7.0
BACK_WITHIN = 5.0
"""Seconds after it listens again in which a client has to be back."""
LOGGED_IN_WITHIN = 12.0
"""The same for a Discord session whose resume is refused: a pause of 1 to 5 s before the next Identify is due."""


class RestartingServer:
    """Decides for a memory server what becomes of a dial: it is away at times."""

    def __init__(self, server: MemoryServer, absent: Callable[[MemoryPeer], object]) -> None:
        self.server = server
        self.dials: list[float] = []
        self.is_away = False
        self.let_in = asyncio.Event()
        self._absent = absent
        self._present = server.on_dial if server.on_dial is not None else MemoryPeer.accept
        server.on_dial = self._dialled

    async def restart(self, seconds: float) -> float:
        """Go, and come back; when that was."""
        self.is_away = True
        self.dials.clear()
        self.let_in.clear()
        self.server.peers[-1].close(1012)
        await asyncio.sleep(seconds)
        self.is_away = False
        return asyncio.get_running_loop().time()

    def _dialled(self, peer: MemoryPeer) -> None:
        self.dials.append(asyncio.get_running_loop().time())
        if self.is_away:
            self._absent(peer)
        else:
            self._present(peer)
            self.let_in.set()


def nothing_listens(peer: MemoryPeer) -> None:
    peer.refuse(ConnectionRefused("refused"))


def bad_gateway(peer: MemoryPeer) -> None:
    peer.refuse(HandshakeRejected("bad gateway", status=502, retryable=True))


def accepts_and_drops(peer: MemoryPeer) -> None:
    peer.accept()
    peer.drop()


@pytest.mark.parametrize("absent", [nothing_listens, bad_gateway, accepts_and_drops])
@pytest.mark.parametrize("seed", range(20))
def test_a_client_is_back_soon_after_a_restart_and_after_the_next(
    absent: Callable[[MemoryPeer], object], seed: int
) -> None:
    async def main() -> None:
        random.seed(seed)
        server = MemoryServer(latency=0.02)
        restarting = RestartingServer(server, absent)
        client = make_client(server)
        await client.connect()
        for up in (30.0, 6.0, 30.0):  # the second restart comes before the connection has proved itself
            await asyncio.sleep(up)
            back = await restarting.restart(OUTAGE)
            await restarting.let_in.wait()
            assert restarting.dials[-1] - back < BACK_WITHIN
            assert len(restarting.dials) <= 16
        await client.aclose()

    run_virtual(main)


@pytest.mark.parametrize(
    ("absent", "away"),
    [(nothing_listens, OUTAGE), (bad_gateway, OUTAGE), (accepts_and_drops, OUTAGE), (nothing_listens, 60.0)],
)
@pytest.mark.parametrize("seed", range(20))
def test_a_discord_session_is_back_within_the_pause_that_is_prescribed(
    absent: Callable[[MemoryPeer], object], away: float, seed: int
) -> None:
    async def main() -> None:
        random.seed(seed)
        gateway = MemoryGateway()
        restarting = RestartingServer(gateway.server, absent)
        client = gateway.client()
        await client.connect()
        await asyncio.sleep(60)
        gateway.refuses_resume = True  # what it knew of sessions is gone
        back = await restarting.restart(away)
        await client.wait_for(State.CONNECTED)
        identify, resume = gateway.times(2)[-1], gateway.times(6)[-1]
        assert resume >= back
        assert len(gateway.ops(6)) == 1
        assert 1.0 <= identify - resume <= 5.1
        assert identify - back <= LOGGED_IN_WITHIN
        assert client.state is State.CONNECTED
        await client.aclose()

    run_virtual(main)
