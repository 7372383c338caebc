"""Every state of a small cluster that can be reached: one connection at a time, and one leader for each reader.

`python -m tests.model.cluster_search` searches further. The second half shows that the search finds what it is to find.
"""

from collections.abc import Iterator

import pytest

from onesocket.sharing.cluster._coordinator import Position, PreviousEpoch, Record, RecordKind
from onesocket.sharing.cluster._engine_model import EngineModel
from onesocket.sharing.cluster._lease_clock import LeaseClock
from tests.model import cluster_engine_steps, cluster_world
from tests.model.cluster_search import search
from tests.model.cluster_world import Bounds, Loss


@pytest.fixture(autouse=True)
def _fresh_engine() -> Iterator[None]:
    """Forget what the engine did, as some tests change that."""
    cluster_engine_steps.execute.cache_clear()
    yield
    cluster_engine_steps.execute.cache_clear()


@pytest.mark.parametrize(
    ("bounds", "states"),
    [
        (Bounds(members=3, faults=0), 10_000),
        (Bounds(members=2, faults=1), 25_000),
        (Bounds(members=3, faults=0, two_steps=True), 25_000),
        (Bounds(members=2, faults=1, two_steps=True), 60_000),
    ],
    ids=[
        "three members",
        "lost and late messages, and crashes",
        "three members, in two steps",
        "lost and late messages, and crashes, in two steps",
    ],
)
def test_no_state_breaks_a_promise(bounds: Bounds, states: int) -> None:
    found = search(bounds)
    assert not found.broken, found
    assert found.states > states


def test_an_engine_that_does_not_fence_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EngineModel, "_check_leads", lambda *_: None)
    assert search(Bounds(members=2)).broken == "a batch was accepted, and is not in the feed"


@pytest.mark.parametrize("step", ["begin", "end"])
def test_a_second_step_that_does_not_depend_on_the_lease_of_the_first_is_found(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def begin(model: EngineModel, member: str, epoch: int, now: float) -> None:
        model._append(Record(RecordKind.BEGAN, Position(epoch, 0), member=member, previous=model._end), now)

    def end(model: EngineModel, position: Position, now: float) -> None:
        model._append(Record(RecordKind.ENDED, position), now)

    monkeypatch.setattr(EngineModel, step, {"begin": begin, "end": end}[step])
    found = search(Bounds(members=2, two_steps=True))
    assert found.broken == "an epoch was written to after another one had taken the lease"


def test_a_lease_that_is_free_before_its_holder_has_closed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_world, "following", lambda member: member)
    assert search(Bounds(members=2, faults=0, two_steps=True)).broken == "two members have a connection upstream"


def test_an_engine_that_grants_a_lease_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EngineModel, "lease", lambda *_: None)
    assert search(Bounds(members=2, faults=0)).broken == "two members have a connection upstream"


def test_an_engine_that_grants_an_epoch_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(EngineModel):
        _floor = property(lambda _: 0, lambda *_: None)

    monkeypatch.setattr(cluster_engine_steps, "EngineModel", Forgetful)
    assert search(Bounds(members=2, epochs=3, loss=Loss.ALL)).broken == "two members wrote in one epoch"


def test_a_lease_that_counts_from_the_reply_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    count = LeaseClock.granted
    monkeypatch.setattr(LeaseClock, "granted", lambda clock, _requested_at: count(clock, 0.0))
    assert search(Bounds(members=2, faults=0)).broken == "two members have a connection upstream"


def test_a_leader_that_dials_at_once_after_a_loss_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LeaseClock, "dial_delay", lambda _clock, previous: int(previous is PreviousEpoch.EXPIRED))
    found = search(Bounds(members=2, epochs=3, loss=Loss.ALL))
    assert found.broken == "two members have a connection upstream"
    assert "the engine loses all" in found.path
