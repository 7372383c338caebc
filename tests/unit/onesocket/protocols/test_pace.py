"""The pace of a protocol: a sliding window with a margin for what is held up on its way."""

import random

import pytest

import onesocket
from onesocket import Json, Pace
from onesocket.errors import InvalidOption
from onesocket.protocols._login import Login
from onesocket.protocols._pace import SendWindow
from onesocket.protocols._protocol import Ready, Send
from onesocket.sharing._options import same_protocol


@pytest.mark.parametrize(
    ("messages", "per", "named"),
    [
        *((messages, 1, "messages") for messages in (0, -1, True, 1.5, "5")),
        *((5, per, "per") for per in (0, -1, float("inf"), float("nan"), True, "1")),
    ],
)
def test_a_pace_that_is_none_is_refused(messages: int, per: float, named: str) -> None:
    with pytest.raises(InvalidOption, match=f"Pace: {named} must be"):
        Pace(messages, per)


def test_a_pace_is_a_value() -> None:
    assert Pace(5) == Pace(messages=5, per=1.0) == onesocket.Pace(5)
    assert repr(Pace(5)) == "Pace(messages=5, per=1.0)"
    assert same_protocol(Json(pace=Pace(5)), Json(pace=Pace(5)))
    assert not same_protocol(Json(pace=Pace(5)), Json(pace=Pace(6)))
    assert not same_protocol(Json(pace=Pace(5)), Json())


@pytest.mark.parametrize(("per", "window"), [(0.1, 0.2), (1, 1.25), (60, 62)])
def test_the_window_is_longer_than_the_limit(per: float, window: float) -> None:
    pace = SendWindow.of(Pace(2, per))
    assert (pace.take(100), pace.take(100)) == (0, 0)
    assert pace.take(100) == pytest.approx(window)
    assert pace.take(100 + per) > 0
    assert pace.take(100 + window) == 0


@pytest.mark.parametrize("seed", range(20))
def test_no_window_ever_holds_more_however_late_messages_come(seed: int) -> None:
    chance = random.Random(seed)
    pace, now = SendWindow.of(Pace(5, 1.0)), 0.0
    arrivals: list[float] = []
    for _ in range(500):
        now += chance.expovariate(8)
        if pace.take(now) == 0:
            arrivals.append(max(now + chance.random() * 0.25, *arrivals[-1:], 0.0))
    assert len(arrivals) > 100
    assert all(later - first >= 1.0 for first, later in zip(arrivals, arrivals[5:], strict=False))


def test_a_login_counts_and_a_new_connection_begins_anew() -> None:
    protocol = Json(login=Login(request=lambda _: 1), pace=Pace(2, 1.0), on_ready=lambda: ["a"])
    for now in (0.0, 0.1):
        assert list(protocol.opened(None, now)) == [Send("1"), Ready(first=('"a"',))]
        assert protocol.pace is not None
        assert protocol.pace.take(now) == 0
        assert protocol.pace.take(now) > 0
