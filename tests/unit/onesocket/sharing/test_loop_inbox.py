"""The way into an event loop from other threads."""

import asyncio
import threading
from typing import Any

import pytest

from onesocket.sharing._cross_loop_call import CrossLoopCall
from onesocket.sharing._loop_inbox import LoopInbox, inbox_of


async def test_calls_from_another_thread_come_in_order_with_one_wake_up() -> None:
    inbox = inbox_of(asyncio.get_running_loop())
    got: list[int] = []
    done = asyncio.Event()

    def posts() -> None:
        for number in range(1000):
            assert inbox.post(got.append, number)
        inbox.post(done.set)

    thread = threading.Thread(target=posts)
    thread.start()
    thread.join()  # the loop stands still meanwhile
    await done.wait()
    assert got == list(range(1000))
    assert inbox.wakeups == 1


async def test_on_the_loop_itself_a_call_is_made_at_once() -> None:
    inbox = inbox_of(asyncio.get_running_loop())
    got: list[int] = []
    assert inbox.post(got.append, 1)
    assert got == [1]
    assert inbox is inbox_of(asyncio.get_running_loop())


async def test_many_threads_lose_nothing() -> None:
    inbox = inbox_of(asyncio.get_running_loop())
    got: list[tuple[int, int]] = []
    left = iter(range(3, -1, -1))
    done = asyncio.Event()

    def last() -> None:
        if next(left) == 0:
            done.set()

    def posts(who: int) -> None:
        for number in range(5000):
            inbox.post(got.append, (who, number))
        inbox.post(last)

    threads = [threading.Thread(target=posts, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    await done.wait()
    for who in range(4):
        assert [number for mine, number in got if mine == who] == list(range(5000))


async def test_one_failing_call_takes_no_other_along(loop_errors: list[dict[str, Any]]) -> None:
    inbox = inbox_of(asyncio.get_running_loop())
    done = asyncio.Event()

    def posts() -> None:
        inbox.post(lambda: 1 / 0)
        inbox.post(done.set)

    await asyncio.to_thread(posts)
    await done.wait()
    assert isinstance(loop_errors.pop()["exception"], ZeroDivisionError)


def test_one_call_that_ends_the_program_leaves_the_others_for_a_loop_that_goes_on() -> None:
    loop = asyncio.new_event_loop()
    inbox = inbox_of(loop)
    got: list[int] = []

    def ends(number: int) -> None:
        got.append(number)
        raise KeyboardInterrupt

    for call, number in ((ends, 1), (got.append, 2), (ends, 3), (got.append, 4)):
        inbox.post(call, number)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.wait_for(asyncio.Event().wait(), 5))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert got == [1, 2, 3, 4]


def test_a_closed_loop_refuses_and_tells_whoever_waits() -> None:
    loop = asyncio.new_event_loop()
    inbox = LoopInbox(loop)
    answers: list[Any] = []

    async def work() -> None:
        raise AssertionError

    call = CrossLoopCall(inbox, work, lambda error, _: answers.append(error))
    assert call.post()
    loop.close()
    assert not inbox.post(lambda: None)
    assert len(answers) == 1
    assert inbox.is_dead
