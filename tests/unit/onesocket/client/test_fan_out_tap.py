"""A subscriber that takes what was read in one go, beside others that take it one by one."""

from typing import Any

from onesocket.client._fan_out import FanOut
from onesocket.client._gap import Gap, GapReason


def make_fan_out(reported: list[tuple[BaseException, str]]) -> FanOut:
    return FanOut(
        event_of=str,
        hold=lambda: None,
        release=lambda: None,
        report=lambda error, source: reported.append((error, source)),
        on_loop=lambda call, *args: call(*args),
    )


def test_it_gets_batches_single_messages_and_gaps_in_order() -> None:
    fanout = make_fan_out([])
    came: list[Any] = []
    one_by_one: list[Any] = []
    fanout.tap(came.append, came.append)
    fanout.on(None, one_by_one.append, limit=1, overflow="fail", gaps=True)
    gap = Gap(GapReason.RECONNECTED, 2)
    fanout.publish_many([1, 2])
    fanout.publish(3)
    fanout.announce(gap)
    fanout.publish_many([4])
    assert came == [[1, 2], [3], gap, [4]]
    assert one_by_one == [1, 2, 3, gap, 4]
    assert fanout.delivered == 4


def test_beside_a_reader_of_events_it_gets_everything() -> None:
    fanout = make_fan_out([])
    came: list[Any] = []
    named: list[Any] = []
    fanout.tap(came.append, came.append)
    fanout.on("2", named.append, limit=1, overflow="fail", gaps=False)
    fanout.publish_many([1, 2])
    assert [message for batch in came for message in batch] == [1, 2]
    assert named == [2]


def test_what_it_raises_harms_nobody() -> None:
    reported: list[tuple[BaseException, str]] = []
    fanout = make_fan_out(reported)
    came: list[Any] = []

    def raises(batch: list[Any]) -> None:
        raise RuntimeError(batch)

    fanout.tap(raises, raises)
    fanout.tap(came.append, came.append)
    fanout.publish_many([1])
    assert came == [[1]]
    assert [(type(error), source) for error, source in reported] == [(RuntimeError, raises.__qualname__)]
