"""Epochs of the connection, over leaders that don't know of each other."""

import dataclasses
from typing import Any

from onesocket import Client, State, Status
from onesocket.client import ConnectionStats
from onesocket.sharing.cluster._leader_status import LeaderStatus


def status(state: State, epoch: int = 0, connected_at: float | None = None, **others: Any) -> Status:
    return dataclasses.replace(
        Client("ws://127.0.0.1:9/").status, state=state, epoch=epoch, connected_at=connected_at, **others
    )


def test_a_leader_that_knows_of_no_connection_before_does_not_set_epochs_back() -> None:
    heard = LeaderStatus(ConnectionStats())
    assert heard.take(status(State.CONNECTED, 5, 1.0), 0).epoch == 5
    heard.present = None  # gone
    assert heard.take(status(State.DISCONNECTED, 0), 5).epoch == 5
    assert heard.take(status(State.CONNECTING, 1), 5).epoch == 6
    assert heard.take(status(State.CONNECTED, 1, 2.0), 6).epoch == 6
    assert heard.epoch_of(2) == 7


def test_a_leader_that_is_heard_late_has_another_connection() -> None:
    heard = LeaderStatus(ConnectionStats())
    assert heard.take(status(State.CONNECTED, 1, 2.0), 5).epoch == 6


def test_a_leader_that_followed_goes_on_counting() -> None:
    heard = LeaderStatus(ConnectionStats())
    assert heard.take(status(State.CONNECTING, 6), 5).epoch == 6


def test_a_new_lease_may_go_on_with_the_same_connection() -> None:
    heard = LeaderStatus(ConnectionStats())
    heard.take(status(State.CONNECTED, 1, 2.0), 0)
    heard.present = None
    assert heard.take(status(State.CONNECTED, 1, 2.0), 1).epoch == 1
    heard.present = None
    assert heard.take(status(State.CONNECTED, 1, 3.0), 1).epoch == 2
    assert heard.state is State.CONNECTED
