"""Subscriptions that are added or removed while a batch of messages is delivered."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from onesocket.client import _sink_caller as module
from onesocket.client import _sinks as sinks
from onesocket.client._fan_out import FanOut
from onesocket.client._gap import Gap, GapReason
from onesocket.client._queue import Overflow, Queue
from onesocket.client._subscription import Subscription
from tests.exceptions import CustomBaseException

MESSAGES = ["a", "b", "a", "b", "a"]


def make_fan_out(report: Callable[[BaseException, str], None] | None = None) -> FanOut:
    return FanOut(
        event_of=lambda message: str(message)[0],
        hold=lambda: None,
        release=lambda: None,
        report=report or (lambda error, _source: pytest.fail(repr(error))),
        on_loop=lambda call, *args: call(*args),
    )


def stream_of(
    fanout: FanOut, event: str | None = None, where: Callable[[Any], bool] | None = None
) -> Subscription[Any]:
    return fanout.subscribe(event, where, limit=100, overflow="fail", gaps=True, raise_on_failure=True)


async def all_of(stream: Subscription[Any]) -> list[Any]:
    return [await anext(stream) for _ in range(len(stream))]


@pytest.mark.parametrize(
    ("event", "where", "gets"),
    [
        (None, None, ["b1", "a2", "b3", "a4"]),
        ("a", None, ["a2", "a4"]),
        (None, lambda message: message[0] == "b", ["b1", "b3"]),
    ],
)
@pytest.mark.parametrize("at", range(5))
async def test_a_stream_gets_all_that_comes_after_the_call_and_nothing_else(
    event: str | None, where: Any, gets: list[str], at: int
) -> None:
    fanout = make_fan_out()
    batch = [f"{event}{number}" for number, event in enumerate(MESSAGES)]
    early = stream_of(fanout)
    called: list[str] = []
    late: list[Subscription[Any]] = []

    def subscribes(message: str) -> None:
        called.append(message)
        if message == batch[at]:
            late.append(stream_of(fanout, event, where))

    fanout.on(None, subscribes, limit=1, overflow="fail", gaps=False)
    fanout.publish_many(batch)
    assert called == batch
    assert await all_of(early) == batch
    assert await all_of(late[0]) == [message for message in gets if int(message[1]) > at]
    assert fanout.delivered == len(batch)
    fanout.publish_many(["a5", "a6"])
    assert called[-2:] == await all_of(early) == ["a5", "a6"]


@pytest.mark.parametrize("event", [None, "b"])
def test_a_callback_that_is_put_on_by_another_gets_what_comes_after_the_call(event: str | None) -> None:
    fanout = make_fan_out()
    order: list[str] = []

    def puts_on(message: str) -> None:
        order.append(f"first {message}")
        if len(order) == 1:
            fanout.on(event, lambda message: order.append(f"second {message}"), limit=1, overflow="fail", gaps=False)

    fanout.on(None, puts_on, limit=1, overflow="fail", gaps=False)
    fanout.publish_many(["a", "b"])
    assert order == ["first a", "first b", "second b"]


async def test_one_that_subscribes_with_every_message_of_a_long_batch() -> None:
    fanout = make_fan_out()
    streams: list[Subscription[Any]] = []
    fanout.on(None, lambda _: streams.append(stream_of(fanout)), limit=1, overflow="fail", gaps=False)
    fanout.publish_many(list(range(50)))
    assert [len(stream) for stream in streams] == list(range(49, -1, -1))
    assert fanout.delivered == 50


async def test_a_callback_may_close_a_stream_that_has_not_got_the_batch_yet() -> None:
    fanout = make_fan_out()
    stream = stream_of(fanout)
    fanout.on(None, lambda _: stream.close(), limit=1, overflow="fail", gaps=False)
    fanout.publish_many([1, 2])
    assert len(stream) == 0
    assert len(fanout) == 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("late", [None, "b"])
@pytest.mark.parametrize("event", [None, "a"])
@pytest.mark.parametrize("where", [None, bool])
def test_a_callback_that_ends_the_program_is_removed_and_takes_nothing_from_the_others(
    kind: type[BaseException], late: str | None, event: str | None, where: Any
) -> None:
    loop = asyncio.new_event_loop()
    fanout = make_fan_out()
    streams: list[Subscription[Any]] = [stream_of(fanout), stream_of(fanout, "b")]
    called: list[str] = []

    def ends(_message: str) -> None:
        streams.append(stream_of(fanout, late))
        raise kind

    fanout.on(event, ends, where=where)
    fanout.on(None, called.append)
    for batch in (["a", "b", "b"], ["a"]):
        loop.call_soon(fanout.publish_many, batch)
    with pytest.raises(kind):
        loop.run_forever()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert called == ["a", "b", "b", "a"]
    assert [len(stream) for stream in streams] == [4, 2, 3 if late is None else 2]
    assert fanout.delivered == 4


@pytest.mark.parametrize("returns_awaitable", [False, True])
async def test_a_callback_that_raises_what_is_no_exception_is_reported_and_removed(returns_awaitable: bool) -> None:
    reported: list[tuple[BaseException, str]] = []
    fanout = make_fan_out(report=lambda error, source: reported.append((error, source)))
    called: list[str] = []

    async def raises_later() -> None:
        raise CustomBaseException

    def raises(message: str) -> Any:
        called.append(message)
        if returns_awaitable:
            return raises_later()
        raise CustomBaseException

    fanout.on(None, raises)
    fanout.publish_many(["a", "b"])
    await fanout.settle(1)
    fanout.publish("c")
    assert called == ["a"]
    assert [(type(error), source) for error, source in reported] == [(CustomBaseException, raises.__qualname__)]
    assert len(fanout) == 0


def test_one_that_the_collector_takes_off_while_another_is_put_on_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    fanout = make_fan_out()
    streams = [stream_of(fanout)]
    (queue,) = fanout._queues  # pyright: ignore[reportPrivateUsage]
    many_of = sinks.batch_sink_of

    def collects(sink: Any) -> Any:
        streams.clear()  # the last that holds it
        return many_of(sink)

    monkeypatch.setattr(module, "batch_sink_of", collects)
    other = stream_of(fanout)
    assert len(fanout) == 1
    fanout.publish_many(["a", "b"])
    assert len(other) == 2
    assert not queue.items


async def test_a_coroutine_that_takes_itself_off_hears_of_no_message_that_was_dropped() -> None:
    fanout = make_fan_out()
    got: list[Any] = []
    done = asyncio.Event()

    async def takes(message: Any) -> None:
        got.append(message)
        fanout.publish_many(list(range(10)))
        remove()
        asyncio.get_running_loop().call_soon(done.set)

    remove = fanout.on(None, takes, limit=2, overflow="drop_oldest", gaps=True)
    fanout.publish("first")
    await done.wait()
    await fanout.settle(1)
    assert got == ["first"]


def test_nothing_is_left_of_what_a_queue_lets_go_of() -> None:
    queue: Queue[Any] = Queue(1, Overflow.DROP_OLDEST, marks_gaps=True)
    for item in (1, Gap(GapReason.RECONNECTED, 2), 2):
        queue.put(item)
    assert queue.has_items
    queue.clear()
    assert not queue.has_items
