"""Ctrl-C at every bytecode of a thread that reads or posts."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from onesocket import Gap
from onesocket.blocking._subscription import Subscription
from onesocket.blocking._waiting import OneShotEvent
from onesocket.client._queue import Overflow, Queue
from onesocket.client._subscription import Subscription as LoopSubscription
from onesocket.errors import AuthTimeout, ClientClosed, SlowConsumer, UsageError, WaitTimeout
from onesocket.sharing._host_loop import HostLoopThread

from .keyboard_interrupt import PACKAGE, InjectedInterrupt, at_each_place


@pytest.fixture(scope="module")
def host_loop() -> Iterator[HostLoopThread]:
    host_loop = HostLoopThread()
    yield host_loop
    host_loop.stop()
    host_loop.thread.join(5)


class CountingStream:
    """A stream of a thread; how often the feed is held back is counted."""

    def __init__(
        self,
        host_loop: HostLoopThread,
        overflow: str = "fail",
        limit: int = 100,
        where: Callable[[Any], bool] | None = None,
    ) -> None:
        self.holding = 0
        self.owner = host_loop
        self.queue: Queue[Any] = Queue(
            limit, Overflow.of(overflow), marks_gaps=True, hold=lambda: self._held(1), release=lambda: self._held(-1)
        )
        self.stream: Subscription[Any] = Subscription(
            LoopSubscription(self.queue, lambda _: None), host_loop.loop_inbox, where or (lambda _: True)
        )

    def __repr__(self) -> str:
        return f"<Reader {self.queue!r}>"

    def _held(self, more: int) -> None:
        self.holding += more

    def put(self, *messages: Any) -> None:
        """As the feed does, on the host loop."""
        self.on_host_loop(self.queue.put_many, messages)

    def on_host_loop(self, call: Callable[..., object], *args: Any) -> None:
        assert self.owner.loop_inbox.post(call, *args)
        settle(self.owner)

    def request(self) -> OneShotEvent:
        """Wait, as the main thread does in the midst of `receive()`."""
        event = self.stream._event = OneShotEvent()
        self.on_host_loop(self.stream._handover.request, event)
        return event

    def rest(self) -> list[Any]:
        """Everything up to the end of what's there; errors by their types."""
        told: list[Any] = []
        while True:
            try:
                told.append(self.stream.receive(0))
            except (WaitTimeout, ClientClosed):
                settle(self.owner)
                return told
            except (AuthTimeout, SlowConsumer) as error:
                told.append(type(error))


def settle(host_loop: HostLoopThread) -> None:
    """Wait until all posted calls are done."""
    done = threading.Event()
    assert host_loop.loop_inbox.post(done.set)
    assert done.wait(5)


@pytest.mark.parametrize(("overflow", "limit"), [("fail", 100), ("drop_oldest", 4), ("wait", 4)])
def test_it_loses_no_message_and_holds_nobody_back(host_loop: HostLoopThread, overflow: str, limit: int) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        reader = CountingStream(host_loop, overflow, limit)
        reader.put(*range(10))
        told: list[Any] = []
        with ctrl_c:
            for message in reader.stream:
                told.append(message)
                if message == 9:
                    break
        told += reader.rest()
        messages = [message for message in told if not isinstance(message, Gap)]
        missed = sum(gap.missed or 0 for gap in told if isinstance(gap, Gap))
        assert messages == list(range(missed, 10))
        assert missed == (6 if overflow == "drop_oldest" else 0)
        assert reader.holding == 0
        reader.put("more")
        assert reader.stream.receive(0) == "more"

    assert len(at_each_place(scenario)) > 10


def test_it_can_wait_again(host_loop: HostLoopThread) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        reader = CountingStream(host_loop)
        with ctrl_c, pytest.raises(WaitTimeout):
            reader.stream.receive(0)
        assert reader.rest() == []
        reader.put("message")
        assert reader.stream.receive(0) == "message"

    assert len(at_each_place(scenario, PACKAGE)) > 20


@pytest.mark.parametrize("kind", [AuthTimeout, SlowConsumer])
def test_a_failure_is_told_once(host_loop: HostLoopThread, kind: type[Exception]) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        reader = CountingStream(host_loop, limit=2)
        reader.put(1, 2)
        if kind is SlowConsumer:
            reader.put(3)
        else:
            reader.on_host_loop(reader.queue.fail, AuthTimeout("auth took too long"))
        told: list[Any] = []
        with ctrl_c:
            try:
                for _ in range(3):
                    told.append(reader.stream.receive(0))  # noqa: PERF401 - what came before the error counts
            except kind as error:
                told.append(type(error))
        assert told + reader.rest() == [1, 2, kind]

    assert len(at_each_place(scenario, PACKAGE)) > 15


def test_a_close_that_was_interrupted_is_made_good_by_the_next(host_loop: HostLoopThread) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        reader = CountingStream(host_loop, "wait", 2)
        reader.put(1, 2, 3, 4)
        assert reader.holding == 1
        with ctrl_c, reader.stream:
            pass  # closed at the end of the block, as programs do
        reader.stream.close()
        assert reader.rest() == []
        assert reader.queue.ended
        assert reader.holding == 0

    assert len(at_each_place(scenario)) > 20


def test_whoever_waits_is_rung_by_a_close_that_was_interrupted(host_loop: HostLoopThread) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        reader = CountingStream(host_loop)
        event = reader.request()
        with ctrl_c, reader.stream:
            pass  # closed at the end of the block, as programs do
        reader.stream.close()
        assert event.wait(5)

    assert len(at_each_place(scenario)) > 20


def test_what_is_posted_is_done_and_strands_nobody(host_loop: HostLoopThread) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        inbox, done = host_loop.loop_inbox, threading.Event()
        before = inbox.posted
        with ctrl_c:
            inbox.post(done.set)
        if inbox.posted > before:
            assert done.wait(5)
        settle(host_loop)

    assert len(at_each_place(scenario)) > 10


def test_the_search_finds_what_is_not_safe() -> None:
    def take(items: list[int], taken: list[int]) -> None:
        taken.append(items.pop())

    def scenario(ctrl_c: InjectedInterrupt) -> None:
        items, taken = [1], list[int]()
        with ctrl_c:
            take(items, taken)
        assert items or taken

    with pytest.raises(AssertionError) as caught:
        at_each_place(scenario)
    assert "in test_the_search_finds_what_is_not_safe.<locals>.take" in caught.value.__notes__[0]


def test_the_search_leaves_out_no_place() -> None:
    class Entered:
        @property
        def text(self) -> str:
            return str(self)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            len(self.text)

    def walk(items: list[int]) -> None:
        for item in items:
            with Entered() as entered:
                _ = f"{entered.text} {[max(item, other) for other in items]}"
        try:
            raise ValueError(*items)
        except ValueError as error:
            str(error)

    def scenario(ctrl_c: InjectedInterrupt) -> None:
        with ctrl_c:
            walk([1, 2, 3])

    places = at_each_place(scenario, __file__)
    assert len(places) > 10
    assert places == at_each_place(scenario, __file__, skip=False)


def test_a_signal_handler_that_reads_the_same_stream_does_not_take_the_place_of_who_waits(
    host_loop: HostLoopThread,
) -> None:
    reader = CountingStream(host_loop)
    event = reader.request()  # the main thread waits, and in the midst of that comes the handler
    with pytest.raises(UsageError, match="one reader"):
        reader.stream.receive(0)
    reader.put("message")
    assert event.wait(0)


def test_two_threads_that_read_one_stream_take_no_message_twice_and_lose_none(host_loop: HostLoopThread) -> None:
    # They shouldn't; until one of them has to wait, nobody sees it. The filter is where they meet.
    both = threading.Barrier(2, timeout=5)
    met: list[int] = []

    def where(message: int) -> bool:
        if message == 0 and len(met) < 2:
            met.append(message)
            both.wait()
        return True

    reader = CountingStream(host_loop, where=where)
    reader.put(0, 1, 2)
    reader.request().is_abandoned = True  # the messages are taken out, so neither of the threads has to wait
    told: list[int] = []
    threads = [threading.Thread(target=lambda: told.append(reader.stream.receive(0))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert sorted(told) == [0, 1]
    assert reader.rest() == [2]
