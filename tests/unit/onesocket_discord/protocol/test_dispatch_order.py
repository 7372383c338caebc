"""Dispatches that come doubled and out of order, around READY and over a lost connection: once each, or announced."""

import random

import pytest

from onesocket.protocols._protocol import Deliver, Ready
from tests.unit.onesocket_discord.protocol.gateway_driver import GatewayDriver


def delivered(drive: GatewayDriver) -> list[int | None]:
    return [action.message.sequence for action in drive.all(Deliver)]


def test_what_overtakes_ready_is_delivered_once_and_not_asked_for_again() -> None:
    drive = GatewayDriver().open().hello()
    assert delivered(drive.event("MESSAGE_CREATE", 3)) == [3]
    assert delivered(drive.event("GUILD_CREATE", 2)) == [2]
    drive.ready(1)
    assert drive.all(Ready) == [Ready()]
    assert delivered(drive) == [1]
    drive.lose().open().hello()
    assert drive.sent[-1]["d"]["seq"] == 3
    assert delivered(drive.event("MESSAGE_CREATE", 3)) == []


def test_a_ready_that_comes_twice_begins_nothing() -> None:
    drive = GatewayDriver().up().event("MESSAGE_CREATE", 2)
    drive.ready(1)
    assert (drive.all(Ready), delivered(drive)) == ([], [])
    drive.lose().open().hello()
    assert drive.sent[-1]["d"]["seq"] == 2


def test_another_session_begins_its_own_count() -> None:
    drive = GatewayDriver().up().event("MESSAGE_CREATE", 7)
    drive.ready(1, session_id="another")
    assert drive.all(Ready) == [Ready()]
    assert delivered(drive.event("MESSAGE_CREATE", 2)) == [2]


def test_a_session_that_answers_a_resume_with_ready_begins_its_own_count() -> None:
    drive = GatewayDriver().up().event("MESSAGE_CREATE", 7)
    drive.lose().open().hello()
    drive.ready(1)
    assert drive.all(Ready) == [Ready()]
    assert delivered(drive.event("MESSAGE_CREATE", 2)) == [2]


def test_a_number_that_was_overtaken_when_the_connection_was_lost_is_announced() -> None:
    drive = GatewayDriver().up().event("MESSAGE_CREATE", 4).event("MESSAGE_CREATE", 3)
    drive.lose().open().hello().event("RESUMED", 5)
    assert drive.all(Ready) == [Ready(resumed=False)]  # 2 will not come: the server was told that 4 had come
    drive.lose().open().hello().event("RESUMED", 6)
    assert drive.all(Ready) == [Ready(resumed=True)]  # said once


def test_it_is_announced_even_if_the_first_resume_is_lost_too() -> None:
    drive = GatewayDriver().up().event("MESSAGE_CREATE", 3)
    drive.lose().open().hello()
    drive.lose().open().hello().event("MESSAGE_CREATE", 4).event("RESUMED", 5)
    assert drive.all(Ready) == [Ready(resumed=False)]


@pytest.mark.parametrize("first", [0, 1])
def test_the_first_number_leaves_no_hole_before_it(first: int) -> None:
    drive = GatewayDriver().open().hello().ready(first).event("MESSAGE_CREATE", first + 1)
    drive.lose().open().hello().event("RESUMED", first + 2)
    assert drive.all(Ready) == [Ready(resumed=True)]


@pytest.mark.parametrize("seed", range(50))
def test_any_order_of_one_connections_dispatches_delivers_each_once(seed: int) -> None:
    chance = random.Random(seed)
    drive = GatewayDriver().open().hello()
    numbers = [*range(1, 12), *chance.choices(range(1, 12), k=6)]
    chance.shuffle(numbers)
    seen: list[int | None] = []
    for number in numbers:
        seen += delivered(drive.ready(1) if number == 1 else drive.event("MESSAGE_CREATE", number))
    assert seen == list(dict.fromkeys(numbers))
