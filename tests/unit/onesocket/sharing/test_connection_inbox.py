"""The inbox of a connection that moves: calls wait in order, and those that wait for something begin anew."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from typing import Any

import pytest

from onesocket.client._delivery import Delivery
from onesocket.errors import ClientClosed, RequestLost
from onesocket.sharing._connection_inbox import ConnectionInbox
from onesocket.sharing._cross_loop_call import CrossLoopCall, call_on_loop
from onesocket.sharing._loop_inbox import inbox_of


@pytest.fixture
def loops() -> Iterator[tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop]]:
    both = asyncio.new_event_loop(), asyncio.new_event_loop()
    yield both
    for loop in both:
        loop.close()


def turn(loop: asyncio.AbstractEventLoop, turns: int = 3) -> None:
    async def some() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    loop.run_until_complete(some())


def arrive(inbox: ConnectionInbox, calls: list[Any], loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(inbox.arrive, calls)
    turn(loop)


def test_calls_wait_in_order_while_it_moves_and_are_made_on_the_other_loop(
    loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop],
) -> None:
    old, new = loops
    inbox = ConnectionInbox(old)
    made: list[tuple[str, asyncio.AbstractEventLoop]] = []

    def call(name: str) -> None:
        made.append((name, asyncio.get_running_loop()))

    inbox.post(call, "before")
    turn(old)
    inbox.post(call, "posted to the old loop")
    assert inbox.leave(new) == []
    inbox.post(call, "while it moves")
    turn(old)
    turn(new)
    assert made == [("before", old)]
    new.call_soon(inbox.post, call, "there while it moves")
    arrive(inbox, [], new)
    inbox.post(call, "after")
    turn(new)
    assert made[1:] == [
        (name, new) for name in ("posted to the old loop", "while it moves", "there while it moves", "after")
    ]


def test_a_turn_that_the_old_loop_was_woken_for_wakes_the_new_one(
    loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop],
) -> None:
    old, new = loops
    inbox = ConnectionInbox(old)
    made: list[str] = []
    inbox.post(made.append, "a")
    inbox.leave(new)
    arrive(inbox, [], new)
    inbox._calls.append((made.append, ("b",)))  # a thread that had read the old loop before the move
    inbox._due = True
    old.call_soon(inbox._run_pending)
    turn(old)
    turn(new)
    assert made == ["a", "b"]


def test_work_that_waits_begins_anew_before_the_calls_that_came_behind_it(
    loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop],
) -> None:
    old, new = loops
    inbox, here = ConnectionInbox(old), inbox_of(old)
    log: list[str] = []
    answers: list[object] = []

    async def waits(name: str) -> str:
        log.append(f"{name} begins")
        try:
            if asyncio.get_running_loop() is old:
                await asyncio.Event().wait()
        finally:
            log.append(f"{name} ends")
        return name

    calls = [
        CrossLoopCall(inbox, functools.partial(waits, name), lambda error, value: answers.append(error or value))
        for name in "ab"
    ]
    for call in calls:
        assert call.post()
    turn(old)
    nested = CrossLoopCall(inbox, functools.partial(waits, "nested"), lambda *_: None, is_nested=True)
    nested.post()
    turn(old)
    assert not asyncio.all_tasks(old), "its tasks are no business of whoever ends the loop"
    del log[:]
    again = inbox.leave(new)
    assert log == ["a ends", "b ends", "nested ends"]
    inbox.post(log.append, "posted behind")
    arrive(inbox, again, new)
    assert log[3:] == ["posted behind", "a begins", "a ends", "b begins", "b ends"]
    assert answers == ["a", "b"]
    turn(old)
    assert not here.is_dead


def test_work_that_says_its_fate_at_the_move_is_not_done_twice(
    loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop],
) -> None:
    old, new = loops
    inbox = ConnectionInbox(old)
    answers: list[object] = []

    async def asks() -> None:
        try:
            await asyncio.Event().wait()
        except GeneratorExit:
            raise RequestLost("it was sent") from None

    CrossLoopCall(inbox, asks, lambda error, _: answers.append(error)).post()
    turn(old)
    assert inbox.leave(new) == []
    (error,) = answers
    assert isinstance(error, RequestLost)


def test_a_call_to_a_closed_loop_moves_the_connection_if_it_can(
    loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop],
) -> None:
    old, new = loops
    inbox = ConnectionInbox(old)
    made: list[str] = []

    def rescue() -> None:
        inbox.arrive(inbox.leave(new))

    def is_dead() -> bool:
        return inbox.is_dead

    old.close()
    assert is_dead()
    assert not inbox.post(made.append, "lost")
    inbox.refuge, inbox.rescue = inbox_of(new), rescue
    assert not is_dead()
    assert inbox.post(made.append, "kept")
    turn(new)
    assert made == ["kept"]


def test_a_thread_that_has_seen_the_closed_loop_refuses_nothing_once_the_connection_has_moved(
    loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop],
) -> None:
    class Racing(ConnectionInbox):
        """An inbox that moves just when the other thread asks whether it can."""

        moves = True

        @property
        def is_moving(self) -> bool:
            is_moving, self.moves = self.moves, False
            return is_moving

        def __getattribute__(self, name: str) -> Any:
            if name == "refuge" and self.is_moving:
                self.leave(new)
                arrive(self, [], new)
            return super().__getattribute__(name)

    old, new = loops
    made: list[str] = []
    inbox = Racing(old)
    inbox.moves = False
    inbox._calls.append((made.append, ("of another",)))
    old.close()
    inbox.moves = True
    assert not inbox.is_dead
    inbox = Racing(old)
    inbox._calls.append((made.append, ("another's",)))
    assert inbox.post_soon(made.append, "mine")
    turn(new)
    assert made == ["of another", "another's", "mine"]


def test_a_cancellation_that_comes_during_the_move_reaches_the_work_that_began_anew(
    loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop],
) -> None:
    old, new = loops
    inbox = ConnectionInbox(old)
    answers: list[object] = []
    call = CrossLoopCall[Any](inbox, lambda: asyncio.Event().wait(), lambda error, _: answers.append(error))
    call.post()
    turn(old)
    again = inbox.leave(new)
    inbox.post(call.cancel, "left")
    arrive(inbox, again, new)
    assert [type(answer) for answer in answers] == [ClientClosed]


def test_a_delivery_is_awaited_on_both_loops(
    loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop],
) -> None:
    old, new = loops
    delivery = Delivery("x")
    told: list[str] = []

    async def waits(name: str) -> None:
        await delivery
        told.append(name)

    tasks = [old.create_task(waits("old"))]
    turn(old)
    tasks.append(new.create_task(waits("new")))
    turn(new)
    new.call_soon(delivery.resolve)
    turn(new)
    turn(old)
    assert told == ["new", "old"]
    assert len(tasks) == 2


async def test_a_nested_call_is_one_whose_answer_comes_to_the_same_inbox() -> None:
    loop = asyncio.get_running_loop()
    inbox = ConnectionInbox(loop)

    async def work() -> int:
        return 1

    assert await call_on_loop(inbox, inbox, work) == 1
    assert await call_on_loop(inbox, inbox_of(loop), work) == 1
