"""Work on another loop: begun or not is decided once, and a message that may have gone is never told as not sent."""

import asyncio
from typing import Any

import pytest

from onesocket.errors import ClientClosed, DeliveryUnknown
from onesocket.sharing._cross_loop_call import CrossLoopCall


async def sends() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("is_message", [False, True])
def test_begun_on_a_loop_that_is_closed_without_a_word(is_message: bool) -> None:
    loop = asyncio.new_event_loop()
    answers: list[Any] = []
    call = CrossLoopCall(sends, lambda error, _: answers.append(error), sends=is_message)
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

    call = CrossLoopCall(never, lambda error, _: answers.append(error), sends=True)
    assert isinstance(call.unanswered(), ClientClosed)
    call.start()
    assert [type(answer) for answer in answers] == [ClientClosed]


async def test_cancelled_before_it_began_and_while_it_is_under_way() -> None:
    answers: list[Any] = []
    late = CrossLoopCall(sends, lambda error, _: answers.append(error), sends=True)
    late.cancel("left")
    late.start()
    early = CrossLoopCall(sends, lambda error, _: answers.append(error), sends=True)
    early.start()
    await asyncio.sleep(0)
    early.cancel("left")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [(type(answer), str(answer)) for answer in answers] == [(ClientClosed, "left")] * 2
