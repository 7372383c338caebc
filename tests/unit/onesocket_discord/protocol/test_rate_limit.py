"""120 payloads within 60 s, with places kept for heartbeats."""

import json
import random

import pytest

from onesocket.protocols import RateLimiter
from onesocket_discord.protocol._limits import SEND_LIMIT, SEND_WINDOW
from onesocket_discord.protocol._send_window import GatewaySendWindow
from tests.unit.onesocket_discord.protocol.gateway_driver import GatewayDriver


def test_heartbeats_find_their_places_kept() -> None:
    pace = GatewaySendWindow()
    pace.reserve_heartbeats(41.25)
    sent = 0
    while pace.take(0.0) == 0:
        sent += 1
    assert sent == SEND_LIMIT - 4  # two heartbeats, one that is asked for, one login
    for now in (10.0, 20.0, 51.25):
        pace.record(now)
    assert not pace.is_full(60.0)


def test_the_wait_is_exact() -> None:
    pace = GatewaySendWindow()
    pace.reserve_heartbeats(41.25)
    for now in range(116):
        assert pace.take(now / 100) == 0
    assert pace.take(2.0) == pytest.approx(SEND_WINDOW - 2.0)
    assert pace.take(SEND_WINDOW - 0.001) == pytest.approx(0.001)
    assert pace.take(SEND_WINDOW) == 0
    assert pace.take(SEND_WINDOW) == pytest.approx(0.01)


def test_even_if_the_server_wants_ever_so_many_heartbeats_something_is_left() -> None:
    pace = GatewaySendWindow()
    pace.reserve_heartbeats(0.02)
    assert [pace.take(0.0) for _ in range(31)][-1] > 0
    assert GatewaySendWindow().take(0.0) == 0


@pytest.mark.parametrize("seed", range(20))
def test_no_window_of_60_seconds_ever_sees_more(seed: int) -> None:
    chance = random.Random(seed)
    drive = GatewayDriver().open().hello(chance.uniform(1, 45)).ready()
    times = [drive.now]  # the Identify
    pace = drive.protocol.pace
    assert isinstance(pace, RateLimiter)
    ours = 0
    while len(times) < 600:
        if drive.wake_at is not None and drive.wake_at <= drive.now:
            times += [drive.now] * len(drive.ring().sent)
            drive.say(11)
        for _ in range(chance.randrange(200)):
            if pace.take(drive.now) > 0:
                break
            times.append(drive.now)
            ours += 1
        drive.now += chance.uniform(0, 3)
        if drive.wake_at is not None:
            drive.now = min(drive.now, drive.wake_at)
    assert ours > 300
    for start in times:
        assert sum(start <= time < start + 60 for time in times) <= SEND_LIMIT


def test_a_new_connection_has_a_new_window() -> None:
    drive = GatewayDriver().up()
    pace = drive.protocol.pace
    assert isinstance(pace, RateLimiter)
    while pace.take(drive.now) == 0:
        pass
    drive.lose().open().hello()
    assert pace.take(drive.now) == 0
    assert json.dumps(drive.sent)
