"""Work on another loop: begun or not is decided once, and a message that may have gone is never told as not sent."""

import asyncio
import functools
from typing import Any

import pytest

from onesocket.errors import ClientClosed, DeliveryUnknown
from onesocket.sharing._cross_loop_call import CrossLoopCall
from onesocket.sharing._loop_inbox import LoopInbox, inbox_of


def here() -> LoopInbox:
    return inbox_of(asyncio.get_running_loop())


async def sends() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("is_message", [False, True])
def test_begun_on_a_loop_that_is_closed_without_a_word(is_message: bool) -> None:
    loop = asyncio.new_event_loop()
    answers: list[Any] = []
    call = CrossLoopCall(inbox_of(loop), sends, lambda error, _: answers.append(error), sends=is_message)
    loop.call_soon(call.start)
    loop.run_until_complete(asyncio.sleep(0))
    task = call._task
    assert task is not None
    call.refuse()  # as a loop inbox does for the calls left in it
    call.refuse()
    (answer,) = answers
    assert isinstance(answer, DeliveryUnknown if is_message else ClientClosed)
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert len(answers) == 1


async def test_what_was_given_up_before_it_began_never_begins() -> None:
    answers: list[Any] = []

    async def never() -> None:
        raise AssertionError

    call = CrossLoopCall(here(), never, lambda error, _: answers.append(error), sends=True)
    assert isinstance(call.unanswered(), ClientClosed)
    call.start()
    assert [type(answer) for answer in answers] == [ClientClosed]


async def test_cancelled_before_it_began_and_while_it_is_under_way() -> None:
    answers: list[Any] = []
    late = CrossLoopCall(here(), sends, lambda error, _: answers.append(error), sends=True)
    late.cancel("left")
    late.start()
    early = CrossLoopCall(here(), sends, lambda error, _: answers.append(error), sends=True)
    early.start()
    await asyncio.sleep(0)
    early.cancel("left")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [(type(answer), str(answer)) for answer in answers] == [(ClientClosed, "left")] * 2


async def test_work_that_is_done_at_once_needs_no_task() -> None:
    answers: list[Any] = []
    call = CrossLoopCall[None](here(), lambda: None, lambda error, _: answers.append(error))
    assert call.post()
    assert answers == [None]
    assert len(asyncio.all_tasks()) == 1

    def fails() -> None:
        raise DeliveryUnknown("at once")

    CrossLoopCall[None](here(), fails, lambda error, _: answers.append(error)).start()
    assert isinstance(answers[-1], DeliveryUnknown)


async def test_work_that_is_done_at_once_does_not_overtake_a_task_that_is_still_to_begin() -> None:
    done: list[str] = []

    async def begins(name: str) -> None:
        done.append(name)

    for name in ("a", "b"):
        CrossLoopCall(here(), functools.partial(begins, name), lambda *_: None).start()
        CrossLoopCall[None](here(), functools.partial(done.append, f"after {name}"), lambda *_: None).start()
    await asyncio.sleep(0)
    assert done == ["a", "after a", "b", "after b"]
    CrossLoopCall[None](here(), lambda: done.append("at once"), lambda *_: None).start()
    assert done[-1] == "at once"


async def test_what_has_begun_sees_a_cancellation_that_comes_in_the_same_turn() -> None:
    answers: list[Any] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise DeliveryUnknown("it was accepted") from None

    call = CrossLoopCall(here(), waits, lambda error, _: answers.append(error), sends=True)
    call.start()
    call.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert [str(answer) for answer in answers] == ["it was accepted"]


def interrupted(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(0.001))


@pytest.mark.parametrize("in_task", [False, True])
@pytest.mark.parametrize("is_message", [False, True])
def test_ctrl_c_on_the_loop_is_no_answer_to_a_call_of_another_thread(in_task: bool, is_message: bool) -> None:
    loop = asyncio.new_event_loop()
    answers: list[Any] = []
    calls: list[str] = []

    async def waits() -> str:
        if len(calls) == 1:
            raise KeyboardInterrupt
        return "done"

    def work() -> Any:
        calls.append("called")
        if len(calls) == 1 and not in_task:
            raise KeyboardInterrupt
        return waits()

    CrossLoopCall(inbox_of(loop), work, lambda *answer: answers.append(answer), sends=is_message).post()
    interrupted(loop)
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    ((error, result),) = answers
    if is_message:
        assert isinstance(error, DeliveryUnknown)
        assert len(calls) == 1, "it may have been sent"
    else:
        assert (error, result, len(calls)) == (None, "done", 2)


def test_an_interrupted_call_that_is_cancelled_does_not_begin_anew() -> None:
    loop = asyncio.new_event_loop()
    answers: list[Any] = []
    calls: list[str] = []

    def work() -> Any:
        calls.append("called")
        raise KeyboardInterrupt

    call = CrossLoopCall(inbox_of(loop), work, lambda error, _: answers.append(error))
    call.post()
    interrupted(loop)
    call.cancel("left")
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    assert [(type(answer), str(answer)) for answer in answers] == [(ClientClosed, "left")]
    assert calls == ["called"]
