"""Presence updates, on virtual time."""

import asyncio
from typing import Any

from onesocket.testing._virtual_time import run_virtual
from onesocket_discord.client._presence_sender import PresenceSender


class RecordingPeer:
    def __init__(self) -> None:
        self.got: list[tuple[float, Any]] = []

    async def send(self, payload: Any) -> None:
        self.got.append((asyncio.get_running_loop().time(), payload))


def test_a_burst_is_paced_and_the_newest_wins() -> None:
    peer = RecordingPeer()

    async def main() -> None:
        sender = PresenceSender(peer.send)
        async with asyncio.timeout(30):
            await asyncio.gather(*(sender.send(number) for number in range(50)))

    run_virtual(main)
    assert [payload for _, payload in peer.got] == [0, 1, 2, 3, 4, 49]
    assert peer.got[5][0] - peer.got[0][0] > 20


def test_no_more_than_five_come_in_any_twenty_seconds() -> None:
    peer = RecordingPeer()

    async def main() -> None:
        sender = PresenceSender(peer.send)
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(sender.send(number))
                await asyncio.sleep(0.7)

    run_virtual(main)
    times = [time for time, _ in peer.got]
    assert all(later - earlier > 20 for earlier, later in zip(times, times[5:], strict=False))
    assert peer.got[-1][1] == 199


def test_an_overtaken_call_returns_at_once() -> None:
    peer = RecordingPeer()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        sender = PresenceSender(peer.send)
        for number in range(5):
            await sender.send(number)
        waiting = asyncio.create_task(sender.send("old"))
        await asyncio.sleep(1)
        newest = asyncio.create_task(sender.send("new"))
        await waiting
        assert loop.time() == 1
        await newest

    run_virtual(main)
    assert [payload for _, payload in peer.got][5:] == ["new"]
