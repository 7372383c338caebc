"""Random joins, leaves, losses and failures of a pool: the server has each wanted key once, and no hole is unsaid."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from onesocket import Gap, Pace, Pool, ReconnectPolicy, Rotation
from onesocket.testing import run_virtual
from tests.support.ledger_venue import UNKNOWN, LedgerVenue

URL = "ws://venue.test/"
FAST = ReconnectPolicy(initial=0.05, cap=0.1)
KEYS = "abcdefghijklxyz"
TICK = 0.1


def identity(message: dict[str, Any]) -> tuple[str, int] | None:
    return (message["key"], message["number"]) if "number" in message else None


class NumberedFeed:
    """Sends numbered messages of every key to the connections that are subscribed to it."""

    def __init__(self, venue: LedgerVenue) -> None:
        self._venue = venue
        self._number = 0

    async def run(self) -> None:
        """Send until it is cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self._number += 1
            now = asyncio.get_running_loop().time()
            for peer, view in self._venue.views.items():
                for key in sorted(view) if peer.is_open else ():
                    peer.send(json.dumps({"key": key, "number": self._number, "at": now}))


class Reader:
    """A stream of keys, and what it has told."""

    def __init__(self, pool: Pool[Any], keys: set[str], latency: float) -> None:
        self.keys = keys
        self.stream = pool.subscribe(keys=keys, limit=10**6)
        self._since = asyncio.get_running_loop().time() + 3 * latency

    def told(self) -> set[Any]:
        """The keys that were refused."""
        return {key for error in self.stream.queue.refusals or () for key in error.keys}

    def check(self) -> None:
        """Nothing came twice or out of order, and nothing is missing without a gap that names its key."""
        newest: dict[str, int] = {}
        expected: dict[Any, int] = {}
        for item in self.stream.queue.items:
            if isinstance(item, Gap):
                assert item.keys, "a gap names its keys"
                assert item.keys <= self.keys
                for key in item.keys:
                    expected.pop(key, None)
            elif "number" in item and item["at"] > self._since:
                key, number = item["key"], item["number"]
                assert key in self.keys
                assert number > newest.get(key, 0), "doubled or out of order"
                assert number == expected.get(key, number), "missing without a gap"
                newest[key], expected[key] = number, number + 1


@pytest.mark.parametrize("seed", range(40))
def test_the_server_has_each_wanted_key_once_and_readers_miss_nothing_unsaid(seed: int) -> None:
    chance = random.Random(seed)
    size, latency = chance.choice([1, 2, 3, 5]), chance.choice([0.0, 0.02])
    most, gathers = chance.choice([2, 30]), chance.random() < 0.7
    venue = LedgerVenue(
        chance,
        names_keys=chance.random() < 0.5,
        batch=chance.choice([None, 1, 3]),
        limit=size,
        pace=chance.choice([None, Pace(20, per=1.0)]),
        delay=chance.choice([0.0, 0.2]),
    )
    venue.server.latency = latency

    def views() -> list[set[str]]:
        return [view for peer, view in venue.views.items() if peer.is_open]

    async def main() -> None:
        feeding = asyncio.create_task(NumberedFeed(venue).run())
        readers: list[Reader] = []
        async with Pool(
            URL,
            protocol=venue.protocol(declares_limit=False),
            transport=venue.server.transport(),
            per_connection=size,
            max_connections=most,
            linger=chance.choice([0.1, 1.0]),
            reconnect=FAST,
            rotation=Rotation(identity=identity, overlap=0.2) if gathers else None,
        ) as pool:
            for _ in range(chance.randrange(10, 50)):
                match chance.randrange(10):
                    case 0 | 1 | 2:
                        readers.append(Reader(pool, set(chance.sample(KEYS, chance.randrange(1, 5))), latency))
                    case 3 | 4 | 5:
                        if readers:
                            reader = readers.pop(chance.randrange(len(readers)))
                            reader.check()
                            reader.stream.close()
                    case 6:
                        if peers := [peer for peer in venue.views if peer.is_open]:
                            peer = chance.choice(peers)
                            peer.drop() if chance.random() < 0.7 else peer.close(1010)  # the latter is final
                    case _:
                        await asyncio.sleep(chance.choice([0.0, 0.02, 0.1, 0.5, 2.0]))
                assert all(len(view) <= size for view in views())
            await asyncio.sleep(1)
            readers.append(Reader(pool, {"a"}, latency))  # has keys of failed connections tried again
            await asyncio.sleep(20)
            wanted = set[str]().union(*(reader.keys - reader.told() for reader in readers))
            assert sorted(key for view in views() for key in view) == sorted(wanted)
            assert not venue.over_limit
            assert not venue.wrong
            assert not wanted & UNKNOWN, "each reader of an unknown key was told"
            assert venue.server.most_open <= most
            least = -(-len(wanted) // size)
            assert venue.server.open_now == least if gathers else venue.server.open_now >= least
            assert all(views()), "a connection without keys is closed"
            assert pool.status.is_connected
            for reader in readers:
                assert most < len(KEYS) or reader.told() <= UNKNOWN
                reader.check()
        assert venue.server.open_now == 0
        feeding.cancel()
        await asyncio.wait([feeding])

    run_virtual(main)
