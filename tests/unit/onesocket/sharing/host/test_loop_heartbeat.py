"""Heartbeat of an event loop: it goes on whatever interrupts it, and notices once that the loop has stood still."""

import asyncio

import pytest

from onesocket.sharing.host._loop_heartbeat import LoopHeartbeat
from onesocket.testing import run_virtual


def test_a_heartbeat_that_comes_late_tells_it_once() -> None:
    async def main() -> list[tuple[float, bool]]:
        loop = asyncio.get_running_loop()
        beats: list[tuple[float, bool]] = []

        def on_heartbeat(*, is_first_late: bool) -> None:
            beats.append((loop.time(), is_first_late))

        heartbeat = LoopHeartbeat(1.0, on_heartbeat)
        heartbeat.start()
        await asyncio.sleep(1.5)
        was_late = [heartbeat.was_late]
        heartbeat._due -= 0.6  # as if the loop stood still for so long
        await asyncio.sleep(1)
        heartbeat._due -= 0.6
        await asyncio.sleep(1)
        assert [*was_late, heartbeat.was_late] == [False, True]
        heartbeat.stop()
        await asyncio.sleep(5)
        return beats

    assert run_virtual(main) == [(1.0, False), (2.0, True), (3.0, False)]


def test_an_interrupted_heartbeat_is_followed_by_the_next_and_made_up_for() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        beats: list[float] = []

        def on_heartbeat(*, is_first_late: bool) -> None:
            beats.append(loop.time())
            if len(beats) == 1:
                raise ZeroDivisionError

        heartbeat = LoopHeartbeat(1.0, on_heartbeat)
        heartbeat.start()
        with pytest.raises(ZeroDivisionError):
            heartbeat._on_timer()
        await asyncio.sleep(1.2)  # the next one comes all the same
        heartbeat.stop()  # Ctrl-C came before it was started again
        heartbeat.go_on()
        assert len(beats) == 2
        await asyncio.sleep(1.5)
        heartbeat.go_on()
        await asyncio.sleep(1.0)
        heartbeat.stop()
        return beats

    assert run_virtual(main) == [0.0, 1.0, 2.7, 3.7]
