"""A plain function as a subscriber of a link: called where its messages arrive."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from onesocket.client._gap import Gap, GapReason
from onesocket.client._queue import Overflow
from onesocket.errors import SlowConsumer
from onesocket.sharing._loop_inbox import inbox_of
from onesocket.sharing._plain_callback import CALLS_PER_TURN, PlainCallback
from onesocket.sharing._shared_queue import SharedQueue
from onesocket.sharing._shared_subscription import SharedSubscription
from tests.exceptions import CustomBaseException

NAME: ContextVar[str] = ContextVar("NAME", default="nobody's")


class CallbackQueue:
    """A queue with its callback, on this loop, and what it told."""

    def __init__(
        self,
        callback: Callable[[Any], object],
        *,
        limit: int = 100_000,
        overflow: Overflow = Overflow.FAIL,
        gaps: bool = False,
    ) -> None:
        self.holding: list[bool] = []
        self.errors: list[BaseException] = []
        self.sources: set[str] = set()
        self.detached: list[object] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.queue: SharedQueue[Any] = SharedQueue(
            limit,
            overflow,
            marks_gaps=gaps,
            hold=lambda: self.holding.append(True),
            release=lambda: self.holding.append(False),
            on_owner=lambda call: call(),
            ring=inbox_of(asyncio.get_running_loop()).post,
        )
        self.stream: SharedSubscription[Any] = SharedSubscription(
            self.queue, self.detached.append, where=None, keeps="the link"
        )
        self.callback = PlainCallback(callback, self.stream, self._report, self.tasks)
        self.callback.start()

    def _report(self, error: BaseException, source: str) -> None:
        self.errors.append(error)
        self.sources.add(source)


async def turn() -> None:
    await asyncio.sleep(0)


async def test_it_is_called_in_the_turn_that_brings_the_messages_and_never_while_it_is_put_on() -> None:
    got: list[int] = []
    reader = CallbackQueue(got.append)
    reader.queue.put_many([1, 2])
    assert not got
    await turn()
    assert got == [1, 2]
    reader.queue.put_many([3, 4])
    reader.queue.put(5)
    assert got == [1, 2, 3, 4, 5]


async def test_whatever_it_raises_is_told_and_the_rest_of_the_batch_comes() -> None:
    got: list[int] = []

    def takes(message: int) -> None:
        got.append(message)
        if message == 2:
            raise RuntimeError("two")
        if message == 4:
            raise asyncio.CancelledError

    reader = CallbackQueue(takes)
    await turn()
    reader.queue.put_many([1, 2, 3, 4, 5])
    assert got == [1, 2, 3, 4, 5]
    assert [type(error) for error in reader.errors] == [RuntimeError, asyncio.CancelledError]
    assert reader.sources == {takes.__qualname__}


async def test_taken_off_in_the_midst_of_a_batch_it_is_called_no_more() -> None:
    got: list[int] = []

    def takes(message: int) -> None:
        got.append(message)
        if message == 2:
            reader.callback.remove()

    reader = CallbackQueue(takes)
    await turn()
    reader.queue.put_many([1, 2, 3])
    reader.queue.put_many([4])
    await turn()
    assert got == [1, 2]
    assert reader.detached == [reader.queue]
    assert not reader.errors


async def test_taken_off_before_its_first_turn_it_is_never_called() -> None:
    got: list[int] = []
    reader = CallbackQueue(got.append)
    reader.queue.put(1)
    reader.callback.remove()
    await turn()
    assert not got


async def test_a_flood_leaves_the_loop_its_other_work() -> None:
    got: list[int] = []
    seen: list[int] = []
    loop = asyncio.get_running_loop()

    def other_work() -> None:
        seen.append(len(got))
        if len(got) < 10 * CALLS_PER_TURN:
            loop.call_soon(other_work)

    reader = CallbackQueue(got.append)
    await turn()
    loop.call_soon(other_work)
    reader.queue.put_many(list(range(10 * CALLS_PER_TURN)))
    assert len(got) == CALLS_PER_TURN
    while len(got) < 10 * CALLS_PER_TURN:
        reader.queue.put(-1)  # comes behind all that waits
        await turn()
    assert got[: 10 * CALLS_PER_TURN] == list(range(10 * CALLS_PER_TURN))
    assert max(after - before for before, after in itertools.pairwise(seen)) <= CALLS_PER_TURN


async def test_what_comes_while_it_is_called_comes_afterwards() -> None:
    got: list[str] = []

    def takes(message: str) -> None:
        if message == "a":
            reader.queue.put_many(["c", "d"])
            assert got == []
        got.append(message)

    reader = CallbackQueue(takes)
    await turn()
    reader.queue.put_many(["a", "b"])
    assert got == ["a", "b", "c", "d"]


async def test_too_slow_it_is_told_once_and_called_no_more() -> None:
    got: list[int] = []
    reader = CallbackQueue(got.append, limit=2)
    reader.queue.put_many([1, 2, 3])
    await turn()
    reader.queue.put(4)
    await turn()
    assert got == [1, 2]
    assert [type(error) for error in reader.errors] == [SlowConsumer]
    assert reader.stream.is_closed
    assert reader.detached == [reader.queue]


async def test_where_the_oldest_are_dropped_a_marker_stands() -> None:
    got: list[Any] = []
    reader = CallbackQueue(got.append, limit=2, overflow=Overflow.DROP_OLDEST, gaps=True)
    reader.queue.put_many([1, 2, 3, 4])
    await turn()
    assert got == [Gap(GapReason.OVERFLOW, 0, 2), 3, 4]
    reader.queue.put(5)
    assert got[-1] == 5


async def test_one_that_waits_holds_the_feed_until_it_has_caught_up() -> None:
    got: list[int] = []
    reader = CallbackQueue(got.append, limit=2, overflow=Overflow.WAIT)
    reader.queue.put_many([1, 2, 3, 4])
    assert reader.holding == [True]
    await turn()
    assert got == [1, 2, 3, 4]
    assert reader.holding == [True, False]


async def test_from_another_thread_everything_comes_in_order_on_the_loop() -> None:
    got: list[int] = []
    threads: set[threading.Thread] = set()
    done = asyncio.Event()

    def takes(message: int) -> None:
        threads.add(threading.current_thread())
        got.append(message)
        if message == 9_999:
            done.set()

    reader = CallbackQueue(takes)

    def puts() -> None:
        for start in range(0, 10_000, 10):
            reader.queue.put_many(list(range(start, start + 10)))

    await asyncio.to_thread(puts)
    await done.wait()
    assert got == list(range(10_000))
    assert threads == {threading.current_thread()}


async def test_it_may_have_another_thread_look_at_its_queue() -> None:
    """Nothing is locked while it's called."""
    lengths: list[int] = []

    def looks() -> None:
        assert reader.queue.lock.acquire(timeout=5)
        lengths.append(len(reader.queue.items))
        reader.queue.lock.release()

    def takes(_message: int) -> None:
        thread = threading.Thread(target=looks)
        thread.start()
        thread.join()

    reader = CallbackQueue(takes)
    await turn()
    reader.queue.put(1)
    reader.queue.put_many([2, 3])
    assert lengths == [0, 0, 0]


async def test_what_it_returns_is_awaited_before_the_next_message() -> None:
    got: list[str] = []
    gate = asyncio.Event()

    async def slowly(message: int) -> None:
        got.append(f"begins {message}")
        await gate.wait()
        got.append(f"ends {message}")
        if message == 1:
            raise RuntimeError("one")

    reader = CallbackQueue(lambda message: slowly(message) if message else None)
    await turn()
    reader.queue.put_many([0, 1, 2])
    await turn()
    assert got == ["begins 1"]
    assert len(reader.tasks) == 1
    gate.set()
    while reader.queue.waiter is None:
        await turn()
    assert got == ["begins 1", "ends 1", "begins 2", "ends 2"]
    assert [str(error) for error in reader.errors] == ["one"]
    assert not reader.tasks


async def test_taken_off_while_it_is_awaited_it_is_cancelled() -> None:
    got: list[int] = []

    async def hangs(message: int) -> None:
        got.append(message)
        await asyncio.Event().wait()

    reader = CallbackQueue(hangs)
    await turn()
    reader.queue.put_many([1, 2])
    await turn()
    (task,) = reader.tasks
    reader.callback.remove()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert got == [1]
    assert not reader.errors


async def test_while_it_is_awaited_it_may_take_itself_off_and_finish() -> None:
    got: list[int] = []

    async def leaves(message: int) -> None:
        reader.callback.remove()
        await turn()
        got.append(message)

    reader = CallbackQueue(leaves)
    await turn()
    reader.queue.put_many([1, 2])
    (task,) = reader.tasks
    await task
    await turn()
    assert got == [1]
    assert not reader.errors


async def test_a_cancellation_of_what_it_awaited_is_not_its_own() -> None:
    got: list[int] = []

    async def awaits(message: int) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        got.append(message)
        await future

    reader = CallbackQueue(awaits)
    await turn()
    reader.queue.put_many([1, 2])
    while len(got) < 2 or reader.queue.waiter is None:
        await turn()
    assert [type(error) for error in reader.errors] == [asyncio.CancelledError] * 2


async def test_it_runs_in_the_context_of_whoever_put_it_on() -> None:
    got: list[str] = []

    def takes(message: str) -> None:
        got.append(NAME.get())
        NAME.set(message)

    token = NAME.set("its owner's")
    reader = CallbackQueue(takes)
    NAME.reset(token)
    await turn()
    reader.queue.put("first")
    reader.queue.put("second")
    assert got == ["its owner's", "first"]
    assert NAME.get() == "nobody's"


async def test_at_the_end_it_gets_what_is_left() -> None:
    got: list[int] = []
    reader = CallbackQueue(got.append)
    reader.queue.put_many([1, 2])
    reader.queue.end()
    await turn()
    assert got == [1, 2]
    assert reader.stream.is_closed
    assert reader.detached == [reader.queue]


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await turn()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("awaited", [False, True])
def test_one_that_ends_the_program_is_called_no_more_and_the_feed_goes_on(
    kind: type[BaseException], *, awaited: bool
) -> None:
    readers: list[CallbackQueue] = []
    got: list[int] = []

    async def later() -> None:
        raise kind

    def takes(_message: int) -> object:
        if awaited:
            return later()
        raise kind

    async def begin() -> None:
        readers.extend((CallbackQueue(takes), CallbackQueue(got.append)))
        await turn()
        for reader in readers:
            reader.queue.put_many([1, 2])
        while not readers[0].stream.is_closed:
            await turn()
        await asyncio.Event().wait()

    async def go_on() -> None:
        await turn()
        for reader in readers:
            reader.queue.put(3)

    loop = asyncio.new_event_loop()
    task = loop.create_task(begin())
    with pytest.raises(kind):
        loop.run_until_complete(task)
    loop.run_until_complete(go_on())
    task.cancel()
    loop.run_until_complete(asyncio.wait((task,)))
    loop.close()
    assert got == [1, 2, 3]
    assert readers[0].detached == [readers[0].queue]
    assert not readers[0].queue.items
    assert not readers[0].errors


@pytest.mark.parametrize("awaited", [False, True])
async def test_whatever_else_it_raises_is_told_and_it_is_called_no_more(
    loop_errors: list[dict[str, Any]], *, awaited: bool
) -> None:
    async def later() -> None:
        raise CustomBaseException

    def takes(_message: int) -> object:
        if awaited:
            return later()
        raise CustomBaseException

    reader = CallbackQueue(takes)
    await turn()
    reader.queue.put_many([1, 2])
    await wait_for(lambda: reader.stream.is_closed)
    assert [type(error) for error in reader.errors] == [CustomBaseException]
    assert reader.detached == [reader.queue]
    await wait_for(lambda: not reader.tasks)
    assert not loop_errors


async def test_a_task_that_it_returns_may_take_it_off_and_finishes() -> None:
    got: list[int] = []

    async def leaves(message: int) -> None:
        reader.callback.remove()
        await turn()
        got.append(message)

    reader = CallbackQueue(lambda message: asyncio.create_task(leaves(message)))
    await turn()
    reader.queue.put_many([1, 2])
    await wait_for(lambda: not reader.tasks)
    assert got == [1]
    assert not reader.errors


async def test_taken_off_it_hears_of_no_message_that_was_dropped() -> None:
    got: list[Any] = []

    def takes(message: Any) -> None:
        got.append(message)
        reader.queue.put_many([2, Gap(GapReason.RECONNECTED, 2), 3, 4, 5])  # the last two drop the first two
        reader.callback.remove()

    reader = CallbackQueue(takes, limit=3, overflow=Overflow.DROP_OLDEST, gaps=True)
    await turn()
    reader.queue.put(1)
    await turn()
    assert got == [1]
    assert not reader.queue.has_items


async def test_one_whose_loop_is_closed_holds_nobody_back() -> None:
    detached: list[object] = []
    holding: list[bool] = []
    loop = asyncio.new_event_loop()
    queue: SharedQueue[int] = SharedQueue(
        2,
        Overflow.WAIT,
        marks_gaps=False,
        hold=lambda: holding.append(True),
        release=lambda: holding.append(False),
        on_owner=lambda call: call(),
        ring=inbox_of(loop).post,
    )
    stream: SharedSubscription[int] = SharedSubscription(queue, detached.append, where=None, keeps=None)

    async def begin() -> None:
        PlainCallback(lambda _message: None, stream, lambda _error, _source: None, set()).start()
        await turn()

    await asyncio.to_thread(loop.run_until_complete, begin())
    await asyncio.to_thread(loop.close)
    for number in range(10):
        queue.put(number)
    assert queue.ended
    assert not queue.items
    assert not holding
