"""The order and the pace of what goes out on a connection that takes everything, as the peer gets it."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from onesocket import Pace, Raw
from onesocket.client._frame_source import FrameSource
from onesocket.testing import MemoryServer

from ...virtual_time import make_client, on_virtual_time, settle


class ListFrameSource(FrameSource):
    """A source of the frames in `due`, one after the other."""

    def __init__(self) -> None:
        self.due: deque[str] = deque()

    def begin(self) -> None:
        self.due.clear()

    def peek(self) -> str | None:
        return self.due[0] if self.due else None

    def taken(self) -> None:
        self.due.popleft()

    def end(self) -> None:
        self.due.clear()

    def fork(self) -> ListFrameSource:
        return ListFrameSource()

    def adopt(self, fork: FrameSource) -> None:
        pass

    def refresh(self) -> None:
        pass

    def hear_answers(self, hears: bool) -> None:
        pass

    def received(self, batch: list[Any]) -> None:
        pass

    def when_settled(self, call: Callable[[], None]) -> None:
        call()

    @property
    def turn_in(self) -> float:
        return 0.0


@on_virtual_time
async def test_a_message_goes_behind_a_subscription_of_the_same_turn_where_there_is_no_outbox_too() -> None:
    server = MemoryServer()
    source = ListFrameSource()
    async with make_client(server, outbox=None) as client:
        client.internals.sender.set_source(source)
        source.due.append("subscribe")
        client.internals.sender.ask_source()
        assert client.send_nowait("order").done
        await settle()
        assert server.peers[0].received == ["subscribe", "order"]


@on_virtual_time
async def test_messages_keep_to_the_pace_in_the_order_in_which_they_were_sent() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    server = MemoryServer()
    loop = asyncio.get_running_loop()
    arrived: list[tuple[str, float]] = []

    async with make_client(server, protocol=Raw(pace=Pace(3, per=1.0))) as client:
        peer = server.peers[0]
        for number in range(30):
            client.send_nowait(str(number))
            await asyncio.sleep(chance.choice([0, 0, 0.05, 0.4]))
            arrived += [(str(data), loop.time()) for data in peer.received[len(arrived) :]]
        while len(arrived) < 30:
            await asyncio.sleep(0.01)
            arrived += [(str(data), loop.time()) for data in peer.received[len(arrived) :]]
    assert [data for data, _ in arrived] == [*map(str, range(30))]
    times = [time for _, time in arrived]
    assert all(fourth - first > 0.6 for first, fourth in zip(times, times[3:], strict=False)), "seen 0.4 s late at most"
