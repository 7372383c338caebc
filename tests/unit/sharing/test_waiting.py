"""A thread that waits for what is done on an owner loop."""

import asyncio

import pytest

from onesocket import ConnectFailed, OnesocketError, WaitTimeout
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
