"""Messages on their way to another loop: in order among other calls, one call for many, and one answer each."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from onesocket.client import Delivery
from onesocket.client._delivery import DELIVERED
from onesocket.errors import ClientClosed, ConnectionReset, DeliveryUnknown, EncodeError
from onesocket.sharing._loop_inbox import LoopInbox
from onesocket.sharing._send_batch import SendBatch
from tests.support.loop_inboxes import InboxOfAnotherLoop


class Sends:
    """The two ends of a batch, and what was sent and answered."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.here = InboxOfAnotherLoop(loop)
        self.there = InboxOfAnotherLoop(loop)
        self.batch = SendBatch(self.here, self.there)
        self.sent: list[Any] = []
        self.answers: list[tuple[Any, BaseException | None]] = []

    def add(self, name: str, post: Callable[[], Delivery] | None = None) -> None:
        self.batch.add(post or functools.partial(self.send, name), self._answer(name), Delivery(None))

    def send(self, name: str, delivery: Delivery = DELIVERED) -> Delivery:
        self.sent.append(name)
        return delivery

    def _answer(self, name: str) -> Callable[[Delivery, BaseException | None], None]:
        return lambda _, error: self.answers.append((name, error))


def fails(error: BaseException) -> Delivery:
    raise error


async def test_many_messages_are_one_call_there_and_one_back() -> None:
    sends = Sends(asyncio.get_running_loop())
    for name in "abc":
        sends.add(name)
        assert sends.batch.is_open
    await asyncio.sleep(0)
    assert sends.sent == ["a", "b", "c"]
    assert sends.answers == []
    await asyncio.sleep(0)
    assert sends.answers == [("a", None), ("b", None), ("c", None)]
    assert (sends.there.posted, sends.here.posted) == (1, 1)
    assert not sends.batch.is_open
    sends.add("d")
    await asyncio.sleep(0)
    assert sends.sent[-1] == "d"


async def test_no_message_overtakes_another_call() -> None:
    sends = Sends(asyncio.get_running_loop())
    sends.add("first")
    sends.there.post(sends.sent.append, "other")
    assert not sends.batch.is_open
    await asyncio.sleep(0)

    async def begins() -> None:
        sends.sent.append("begun")

    beginning = asyncio.get_running_loop().create_task(begins())
    sends.there.note_unbegun()
    sends.add("behind")
    for _ in range(5):
        await asyncio.sleep(0)
    await beginning
    assert sends.sent == ["first", "other", "begun", "behind"]
    assert sends.answers == [("first", None), ("behind", None)]


async def test_messages_that_wait_are_answered_together_once_their_fates_are_known() -> None:
    sends, error = Sends(asyncio.get_running_loop()), ConnectionReset("lost")
    waiting = {name: Delivery(None) for name in "abc"}
    for name, delivery in waiting.items():
        sends.add(name, functools.partial(sends.send, name, delivery))
    sends.add("sent")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sends.answers == [("sent", None)]
    waiting["b"].resolve()
    waiting["a"].resolve(error)
    for _ in range(3):
        await asyncio.sleep(0)
    assert sends.answers[1:] == [("b", None), ("a", error)]
    assert sends.here.posted == 2
    waiting["c"].resolve()
    for _ in range(3):
        await asyncio.sleep(0)
    assert sends.answers[3:] == [("c", None)]


async def test_one_that_fails_harms_no_other() -> None:
    sends, error = Sends(asyncio.get_running_loop()), EncodeError("no text")
    sends.add("wrong", lambda: fails(error))
    sends.add("right")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sends.answers == [("wrong", error), ("right", None)]


def test_a_closed_loop_answers_each_that_was_not_sent() -> None:
    loop = asyncio.new_event_loop()
    sends = Sends(loop)
    alive = asyncio.new_event_loop()
    here = LoopInbox(alive)
    sends.batch = SendBatch(here, sends.there)
    sends.add("on its way")
    loop.close()
    sends.add("one more")
    sends.there.reject_pending()
    sends.add("too late")
    alive.run_until_complete(asyncio.sleep(0))
    alive.close()
    assert [(name, type(error)) for name, error in sends.answers] == [
        (name, ClientClosed) for name in ("on its way", "one more", "too late")
    ]
    assert sends.sent == []


def test_what_ends_the_program_takes_no_message_along() -> None:
    loop = asyncio.new_event_loop()
    sends = Sends(loop)
    sends.add("first")
    sends.add("ends", lambda: fails(KeyboardInterrupt()))
    sends.add("last")
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(0.001))
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert sends.sent == ["first", "last"]
    assert [(name, type(error)) for name, error in sends.answers] == [
        ("first", type(None)),
        ("ends", DeliveryUnknown),
        ("last", type(None)),
    ]
