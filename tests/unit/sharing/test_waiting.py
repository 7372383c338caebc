"""A thread that waits for what is done on an owner loop."""

import asyncio
import threading

import pytest

from onesocket import ConnectFailed, DeliveryUnknown, OnesocketError, WaitTimeout
from onesocket.blocking import waiting
from onesocket.blocking.waiting import ask
from onesocket.sharing.owner import OwnerThread


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        (None, r"joining took longer than 0\.01 s$"),
        (ConnectFailed("the process that holds it (pid 7) does not answer"), r"0\.01 s: the process .*pid 7.*"),
    ],
)
def test_a_time_out_names_the_trouble_that_there_is(trouble: OnesocketError | None, text: str) -> None:
    owner = OwnerThread()
    with pytest.raises(WaitTimeout, match=text) as caught:
        ask(owner.mailbox, asyncio.Event().wait, 0.01, "joining", trouble=lambda: trouble)
    assert caught.value.__cause__ is trouble
    owner.stop()
    owner.thread.join(5)


@pytest.mark.parametrize("sends", [False, True])
def test_a_message_of_which_nobody_says_a_word_in_time_may_have_arrived(
    sends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_LAST_WORD", 0.01)
    owner = OwnerThread()
    stands, go_on = threading.Event(), threading.Event()

    async def blocks() -> None:
        stands.set()
        go_on.wait(10)

    with pytest.raises(DeliveryUnknown if sends else WaitTimeout):
        ask(owner.mailbox, blocks, 0.05, "sending", trouble=lambda: None, sends=sends)
    assert stands.is_set()

    async def never() -> None:
        raise AssertionError

    with pytest.raises(WaitTimeout):  # it had not begun, and won't
        ask(owner.mailbox, never, 0.01, "sending", trouble=lambda: None, sends=sends)
    go_on.set()
    owner.stop()
    owner.thread.join(5)


def test_what_is_unknown_after_a_time_out_is_said() -> None:
    owner = OwnerThread()

    async def on_its_way() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise DeliveryUnknown("?") from None

    with pytest.raises(DeliveryUnknown):
        ask(owner.mailbox, on_its_way, 0.01, "sending", trouble=lambda: None, sends=True)
    owner.stop()
    owner.thread.join(5)
