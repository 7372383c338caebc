"""A thread that waits for what is done on an owner loop."""

import asyncio
import threading

import pytest

from onesocket import OnesocketError
from onesocket.blocking import _waiting as waiting
from onesocket.blocking._waiting import run_on_host_loop
from onesocket.errors import ConnectFailed, DeliveryUnknown, WaitTimeout
from onesocket.sharing._host_loop import HostLoopThread


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        (None, r"joining took longer than 0\.01 s$"),
        (ConnectFailed("the process that holds it (pid 7) does not answer"), r"0\.01 s: the process .*pid 7.*"),
    ],
)
def test_a_time_out_names_the_trouble_that_there_is(trouble: OnesocketError | None, text: str) -> None:
    owner = HostLoopThread()
    with pytest.raises(WaitTimeout, match=text) as caught:
        run_on_host_loop(owner.loop_inbox, asyncio.Event().wait, 0.01, "joining", trouble=lambda: trouble)
    assert caught.value.__cause__ is trouble
    owner.stop()
    owner.thread.join(5)


@pytest.mark.parametrize("sends", [False, True])
def test_a_message_of_which_nobody_says_a_word_in_time_may_have_arrived(
    sends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_CANCEL_GRACE", 0.01)
    owner = HostLoopThread()
    stands, go_on = threading.Event(), threading.Event()

    async def blocks() -> None:
        stands.set()
        go_on.wait(10)

    with pytest.raises(DeliveryUnknown if sends else WaitTimeout):
        run_on_host_loop(owner.loop_inbox, blocks, 0.05, "sending", trouble=lambda: None, sends=sends)
    assert stands.is_set()

    async def never() -> None:
        raise AssertionError

    with pytest.raises(WaitTimeout):  # it had not begun, and won't
        run_on_host_loop(owner.loop_inbox, never, 0.01, "sending", trouble=lambda: None, sends=sends)
    go_on.set()
    owner.stop()
    owner.thread.join(5)


def test_what_is_unknown_after_a_time_out_is_said() -> None:
    owner = HostLoopThread()

    async def on_its_way() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise DeliveryUnknown("?") from None

    with pytest.raises(DeliveryUnknown):
        run_on_host_loop(owner.loop_inbox, on_its_way, 0.01, "sending", trouble=lambda: None, sends=True)
    owner.stop()
    owner.thread.join(5)
