"""Status of an owner's client as all processes count: numbers go on from earlier owners, no change comes twice."""

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

from onesocket import Client, Gap, Raw, State
from onesocket.client import ConnectionStats, GapReason
from onesocket.client._status import Change
from onesocket.sharing.host._numbered_status import NumberedStatus


def client_in(state: State, epoch: int) -> Any:
    """A client in this state."""
    status = dataclasses.replace(Client("ws://127.0.0.1:9/", protocol=Raw()).status, outbox=3, inbox=4, is_held=True)
    stats = SimpleNamespace(connection=ConnectionStats(attempts=2))
    return SimpleNamespace(state=state, epoch=epoch, status=status, stats=stats)


def change_to(new: State, epoch: int) -> Change:
    """A change that the client reports."""
    return Change(0.0, State.CONNECTING, new, epoch, "Test", None)


async def test_epochs_and_counters_go_on_from_those_of_the_owners_before() -> None:
    numbered = NumberedStatus(cast("Any", client_in(State.CONNECTED, 2)), 5, ConnectionStats(attempts=7))
    assert (numbered.epoch, numbered.stats.attempts) == (7, 9)
    assert numbered.gap(Gap(GapReason.RECONNECTED, 2)) == Gap(GapReason.RECONNECTED, 7)
    status = numbered.status(State.CLOSING, 2)
    assert (status.state, status.epoch, status.outbox, status.inbox, status.is_held) == (State.CLOSING, 7, 0, 0, False)


async def test_a_connection_that_was_published_before_its_report_is_not_published_again() -> None:
    client = client_in(State.CONNECTED, 1)
    numbered = NumberedStatus(client, 0, ConnectionStats())
    assert numbered.is_up_unpublished()
    assert not numbered.is_up_unpublished()
    assert not numbered.is_news(change_to(State.CONNECTING, 1))  # older than what was published
    assert not numbered.is_news(change_to(State.CONNECTED, 1))
    assert numbered.is_news(change_to(State.CLOSING, 1))
    client.state, client.epoch = State.CONNECTING, 2
    assert not numbered.is_up_unpublished()
    assert numbered.is_news(change_to(State.CONNECTING, 2))
