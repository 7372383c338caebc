"""Messages on their way to another event loop: in order, bounded, and one wake-up for a turn."""

import asyncio
import gc
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from onesocket import Gap
from onesocket.client._fan_out import FanOut
from onesocket.client._gap import GapReason
from onesocket.client._queue import DEFAULT_LIMIT
from onesocket.client._status import Change, Status
from onesocket.client._subscription import Subscription
from onesocket.errors import SlowConsumer
from onesocket.sharing._loop_inbox import inbox_of
from onesocket.sharing._member import CALLS_PER_TURN, Member
from tests.exceptions import CustomBaseException
from tests.support.loop_inboxes import InboxOfAnotherLoop


class RelayedClient:
    """A member on this loop, and its relay, which is filled as if from another."""

    token_source = None

    def __init__(self, *, is_host_loop: bool = False) -> None:
        self.held: list[bool] = []
        self.errors: list[BaseException] = []
        self.fan_out = FanOut(
            event_of=lambda _: None,
            hold=lambda: None,
            release=lambda: None,
            report=self.report,
            on_loop=lambda call, *args: call(*args),
        )
        loop = asyncio.get_running_loop()
        inbox = inbox_of(loop) if is_host_loop else InboxOfAnotherLoop(loop)
        held = self.held
        self.member = Member(inbox, self, lambda *_: held.append(True), lambda *_: held.append(False))

    def changed(self, change: Change, status: Status) -> None:
        raise NotImplementedError

    def leave_loop(self) -> None:
        raise NotImplementedError

    def enter_loop(self) -> None:
        raise NotImplementedError

    def report(self, error: BaseException, source: str) -> None:
        del source
        self.errors.append(error)

    def subscribe(self, overflow: str, limit: int = DEFAULT_LIMIT) -> Subscription[Any]:
        return self.fan_out.subscribe(None, None, limit=limit, overflow=overflow, gaps=True, raise_on_failure=True)


async def test_order_is_kept_and_the_loop_is_woken_once() -> None:
    client = RelayedClient()
    stream = client.subscribe("fail")
    wakeups = client.member.loop_inbox.wakeups
    gap = Gap(GapReason.RECONNECTED, 2)
    assert client.member.put_many([1, 2])
    assert client.member.put(lambda handle: handle.fan_out.announce(gap))
    assert client.member.put_many([3])
    assert len(stream) == 0, "never in the turn of the one who delivers"
    assert [await anext(stream) for _ in range(4)] == [1, 2, gap, 3]
    assert client.member.loop_inbox.wakeups == wakeups + 1


async def test_streams_on_the_host_loop_get_messages_in_the_turn_that_brings_them_and_in_order() -> None:
    client = RelayedClient(is_host_loop=True)
    stream = client.subscribe("fail")
    gap = Gap(GapReason.RECONNECTED, 2)
    assert client.member.put_many([1, 2])
    assert len(stream) == 2
    assert client.member.put(lambda handle: handle.fan_out.announce(gap))
    assert client.member.put_many([3])
    assert len(stream) == 2, "behind what is on the way"
    assert [await anext(stream) for _ in range(4)] == [1, 2, gap, 3]


async def test_callbacks_on_the_host_loop_are_called_in_the_turn_that_brings_the_messages_and_in_order() -> None:
    client = RelayedClient(is_host_loop=True)
    got: list[Any] = []

    def takes(message: Any) -> None:
        if message == 1:
            client.member.put_many([3])  # in the midst of the others
            assert got == []
        got.append(message)

    client.fan_out.on(None, takes, gaps=True)
    assert client.member.calls_here
    gap = Gap(GapReason.RECONNECTED, 2)
    assert client.member.put_many([1, 2])
    assert got == [1, 2]
    assert client.member.put(lambda handle: handle.fan_out.announce(gap))
    assert client.member.put_many([4])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got == [1, 2, 3, gap, 4]
    assert not RelayedClient().member.calls_here


async def test_beyond_the_bound_the_oldest_are_dropped_and_told() -> None:
    client = RelayedClient()
    failing, dropping = client.subscribe("fail"), client.subscribe("drop_oldest")
    for number in range(10):
        client.member.put_many([number] * 4096)
    with pytest.raises(SlowConsumer):
        await anext(failing)
    assert dropping.dropped == 6 * 4096
    gap = await anext(dropping)
    assert (gap.reason, gap.missed) == (GapReason.OVERFLOW, 6 * 4096)
    assert [await anext(dropping) for _ in range(DEFAULT_LIMIT)] == sorted([6, 7, 8, 9] * 4096)
    assert not client.held


async def test_a_reader_that_waits_holds_the_feed_and_gets_everything() -> None:
    client = RelayedClient()
    stream = client.subscribe("wait")
    for number in range(10):
        client.member.put_many([number] * 4096)
    assert client.held == [True]
    assert [await anext(stream) for _ in range(40_960)] == sorted([*range(10)] * 4096)
    assert client.held == [True, False]


async def test_plain_callbacks_leave_the_loop_its_turns_and_one_that_raises_anything_harms_no_other() -> None:
    client = RelayedClient()
    got: list[int] = []

    def raises(number: int) -> None:
        if number == 1:
            raise CustomBaseException

    client.fan_out.on(None, raises)
    client.fan_out.on(None, got.append)
    client.member.put_many([0, 1])
    client.member.put_many([2] * 2 * CALLS_PER_TURN)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got[:2] == [0, 1]
    assert len(got) <= 2 * CALLS_PER_TURN
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(got) == 2 + 2 * CALLS_PER_TURN
    assert [type(error) for error in client.errors] == [CustomBaseException]


async def test_a_member_that_is_gone_takes_nothing() -> None:
    client = RelayedClient()
    member = client.member
    del client
    gc.collect()
    assert not member.put_many([1])


async def test_plain_callbacks_have_an_overflow_rule_on_the_way_too() -> None:
    waits, fails = RelayedClient(), RelayedClient()
    got: list[int] = []
    waits.fan_out.on(None, got.append, limit=1, overflow="wait", gaps=False)
    fails.fan_out.on(None, got.append, limit=1, overflow="fail", gaps=False)
    for client in (waits, fails):
        for number in range(10):
            client.member.put_many([number] * 4096)
    while waits.held != [True, False] or not fails.errors:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    assert isinstance(fails.errors[0], SlowConsumer)
    while len(got) < 40_960:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    assert got == sorted([*range(10)] * 4096)


NAME: ContextVar[str] = ContextVar("NAME", default="of the test")


async def test_callbacks_run_in_the_context_in_which_the_client_was_made() -> None:
    token = NAME.set("of the client")
    client = RelayedClient()
    NAME.reset(token)
    got: list[str] = []

    def takes(message: str) -> None:
        got.append(NAME.get())
        NAME.set(message)

    client.fan_out.on(None, takes)
    for message in ("first", "second"):
        client.member.put_many([message])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert got == ["of the client", "first"]
    assert NAME.get() == "of the test"


async def test_from_another_thread_everything_comes_in_order_on_the_client_s_loop() -> None:
    client = RelayedClient()
    got: list[int] = []
    threads: set[threading.Thread] = set()
    done = asyncio.Event()

    def takes(message: int) -> None:
        threads.add(threading.current_thread())
        got.append(message)
        if message == 9_999:
            done.set()

    client.fan_out.on(None, takes)

    def puts() -> None:
        for start in range(0, 10_000, 10):
            client.member.put_many(list(range(start, start + 10)))

    await asyncio.to_thread(puts)
    await asyncio.wait_for(done.wait(), 10)
    assert got == list(range(10_000))
    assert threads == {threading.current_thread()}


async def test_a_callback_removed_in_a_batch_is_called_no_more_and_the_others_are() -> None:
    client = RelayedClient()
    got: list[int] = []
    others: list[int] = []

    def takes(message: int) -> None:
        got.append(message)
        if message == 2:
            remove()

    remove = client.fan_out.on(None, takes)
    client.fan_out.on(None, others.append)
    client.member.put_many([1, 2, 3])
    client.member.put_many([4])
    for _ in range(3):
        await asyncio.sleep(0)
    assert got == [1, 2]
    assert others == [1, 2, 3, 4]
    assert not client.errors


async def test_messages_that_come_while_a_callback_runs_are_delivered_afterwards() -> None:
    client = RelayedClient()
    got: list[str] = []

    def takes(message: str) -> None:
        if message == "a":
            client.member.put_many(["c", "d"])
            assert got == []
        got.append(message)

    client.fan_out.on(None, takes)
    client.member.put_many(["a", "b"])
    for _ in range(3):
        await asyncio.sleep(0)
    assert got == ["a", "b", "c", "d"]


def test_a_member_whose_loop_is_closed_takes_nothing_and_holds_no_feed_back() -> None:
    loop = asyncio.new_event_loop()

    async def begin() -> RelayedClient:
        client = RelayedClient()
        client.fan_out.on(None, lambda _message: None, limit=2, overflow="wait")
        return client

    client = loop.run_until_complete(begin())
    loop.close()
    assert not client.member.put_many([1, 2, 3])
    assert client.held == []


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_callback_that_ends_the_program_takes_no_messages_along(kind: type[BaseException]) -> None:
    got: list[int] = []

    def ends(_message: int) -> None:
        raise kind

    async def begin() -> RelayedClient:
        client = RelayedClient()
        client.fan_out.on(None, ends)
        client.fan_out.on(None, got.append)
        client.member.put_many([1, 2])
        client.member.put_many([3])
        return client

    async def go_on() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(begin())
    with pytest.raises(kind):
        loop.run_until_complete(go_on())
    loop.run_until_complete(go_on())
    client.member.put_many([4])
    loop.run_until_complete(go_on())
    loop.close()
    assert got == [1, 2, 3, 4]
    assert not client.errors, "it is raised in the loop"
