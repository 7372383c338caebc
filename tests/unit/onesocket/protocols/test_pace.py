"""The pace of a protocol: a sliding window with a margin for what is held up on its way."""

import random

import pytest

import onesocket
from onesocket import Json, Pace
from onesocket.errors import InvalidOption
from onesocket.protocols._pace import ConnectionPace, SendWindow
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
    assert repr(Pace(5)) == "Pace(messages=5, per=1.0, pings=False)"
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


@pytest.mark.parametrize("seed", range(20))
def test_messages_and_control_messages_keep_to_their_paces(seed: int) -> None:
    """Booked places included: those of heartbeats and PINGs, which are sent later."""
    chance = random.Random(seed)
    pace, now = ConnectionPace(Pace(8, 1.0, pings=True), Pace(3, 2.0)), 0.0
    control: list[float] = []
    data: list[float] = []
    pings: list[float] = []
    for _ in range(1000):
        now += chance.expovariate(10)
        match chance.randrange(8):
            case 0 if now > max(control, default=0.0):
                control.append(now + pace.book_control(now))
            case 1 if now > max(pings, default=0.0):
                pings.append(now + pace.book_ping(now))
            case 2 | 3:
                if pace.take_control(now) == 0:
                    control.append(now)
            case 4 | 5 | 6 | 7:
                if pace.take(now) == 0:
                    data.append(now)
            case _:
                pass
    assert min(len(control), len(data), len(pings)) > 40
    assert exceeds(control, 3, 2.5) == []
    assert exceeds([*control, *data, *pings], 7, 1.25) == [], "one place is kept for a PONG"


def exceeds(times: list[float], most: int, per: float) -> list[float]:
    """Returns the times at which a window of this length has more."""
    times.sort()
    late = zip(times, times[most:], strict=False)
    return [later for first, later in late if later - first < per - 1e-9]


def test_a_booked_place_is_not_given_away() -> None:
    pace = ConnectionPace(None, Pace(1, 1.0))
    assert pace.take(0.0) == pace.take(0.0) == 0, "messages have no limit"
    assert pace.take_control(0.0) == 0
    assert pace.book_control(0.5) == pytest.approx(0.75)
    assert pace.take_control(1.25) == pytest.approx(1.25)
    assert pace.book_ping(0.5) == 0


def test_what_the_protocol_sends_at_once_counts_and_a_new_connection_begins_anew() -> None:
    pace = ConnectionPace(Pace(2), Pace(1))
    pace.sent(0.0)
    assert pace.take_control(0.0) > 0
    assert pace.take(0.0) == 0
    assert pace.take(0.0) > 0
    pace.begin()
    assert pace.take_control(0.0) == 0


def test_a_pace_with_pings_needs_a_second_place() -> None:
    with pytest.raises(InvalidOption, match="messages must be at least 2"):
        Pace(1, pings=True)
    with pytest.raises(InvalidOption, match="pings must be True or False"):
        Pace(2, pings="yes")  # type: ignore[arg-type]
