"""The model of an engine: lease, fencing, repeated writes, bounds."""

import pytest

from onesocket.errors import Fenced, MailboxFull
from onesocket.sharing.cluster._coordinator import (
    START,
    Lease,
    LeaseInfo,
    Position,
    PreviousEpoch,
    Record,
    RecordKind,
    Submission,
)
from onesocket.sharing.cluster._engine_model import EngineModel

TTL = 10.0


def test_one_member_leads_at_a_time() -> None:
    model = EngineModel()
    assert model.acquire("a", TTL, 0, 0.0) == Lease(1, PreviousEpoch.NONE)
    assert model.acquire("b", TTL, 0, 4.0) == LeaseInfo("a", 1, 6.0, Position(1, 0))
    assert model.renew("a", 1, TTL, 9.0)
    assert isinstance(model.acquire("b", TTL, 0, 18.9), LeaseInfo)
    assert model.acquire("b", TTL, 0, 19.0) == Lease(2, PreviousEpoch.EXPIRED)
    assert not model.renew("a", 1, TTL, 19.0)


def test_a_released_lease_is_free_at_once_and_readers_are_told() -> None:
    model = EngineModel()
    model.acquire("a", TTL, 0, 0.0)
    model.publish("a", Position(1, 1), b"x", 0, 1.0)
    model.release("a", Position(1, 2), 2.0)
    assert model.lease(2.0) is None
    assert model.acquire("b", TTL, 1, 2.0) == Lease(2, PreviousEpoch.RELEASED)
    kinds = [each.kind for each in model.read("c", START, START)]
    assert kinds == [RecordKind.BEGAN, RecordKind.BATCH, RecordKind.ENDED, RecordKind.BEGAN]


def test_a_release_of_another_epoch_has_no_effect() -> None:
    model = EngineModel()
    model.acquire("a", TTL, 0, 0.0)
    model.acquire("b", TTL, 0, 10.0)
    model.release("a", Position(1, 1), 11.0)
    model.release("b", Position(1, 1), 11.0)
    assert model.lease(11.0) == LeaseInfo("b", 2, 9.0, Position(2, 0))


def test_a_member_that_holds_the_lease_and_asks_again_gets_a_new_epoch() -> None:
    model = EngineModel()
    model.acquire("a", TTL, 0, 0.0)
    assert model.acquire("a", TTL, 0, 1.0) == Lease(2, PreviousEpoch.RELEASED)


def test_records_of_an_epoch_that_does_not_lead_are_refused() -> None:
    model = EngineModel()
    model.acquire("a", TTL, 0, 0.0)
    with pytest.raises(Fenced) as ended:
        model.publish("a", Position(1, 1), b"x", 0, 10.0)
    model.acquire("b", TTL, 0, 10.0)
    with pytest.raises(Fenced) as superseded:
        model.publish("a", Position(1, 1), b"x", 0, 10.0)
    with pytest.raises(Fenced):
        model.publish("a", Position(2, 1), b"x", 0, 10.0)
    with pytest.raises(Fenced):
        model.answer("a", "c", Position(1, 1), b"x", 10.0)
    assert (ended.value.newer, superseded.value.newer) == (None, 2)
    assert [each.kind for each in model.read("c", START, START)] == [RecordKind.BEGAN] * 2


def test_a_repeated_write_is_accepted_and_not_written_twice() -> None:
    model = EngineModel()
    model.acquire("a", TTL, 0, 0.0)
    for _ in range(2):
        model.publish("a", Position(1, 1), b"batch", 0, 1.0)
        model.submit("b", Position(1, 1), b"mail", 1.0)
        model.answer("a", "b", Position(1, 1), b"answer", 1.0)
    assert [each.payload for each in model.read("b", Position(1, 0), START)] == [b"batch", b"answer"]
    assert model.take(Position(1, 0)) == [Submission(Position(1, 1), "b", 1, b"mail")]


def test_the_leader_hears_that_the_engine_has_lost_records() -> None:
    model = EngineModel()
    model.acquire("a", TTL, 0, 0.0)
    with pytest.raises(Fenced, match="lost"):
        model.publish("a", Position(1, 5), b"x", 4, 1.0)


def test_an_engine_that_lost_everything_begins_above_the_epochs_that_members_know() -> None:
    model = EngineModel()
    model.acquire("a", TTL, 0, 0.0)
    model.publish("a", Position(1, 1), b"x", 0, 1.0)
    model.lose_everything()
    assert model.read("b", Position(1, 1), START) == [Record(RecordKind.MISSED, START)]
    assert model.acquire("b", TTL, 1, 2.0) == Lease(2, PreviousEpoch.LOST)
    kinds = [(each.kind, each.missed) for each in model.read("c", Position(1, 1), START)]
    assert kinds == [(RecordKind.MISSED, None), (RecordKind.BEGAN, None)]


def test_the_feed_is_bounded_and_a_late_reader_hears_how_much_it_missed() -> None:
    model = EngineModel(records=3)
    model.acquire("a", TTL, 0, 0.0)
    for number in range(1, 8):
        model.publish("a", Position(1, number), b"x", number - 1, 1.0)
    assert [(each.kind, each.missed) for each in model.read("b", Position(1, 2), START)][:2] == [
        (RecordKind.MISSED, 2),
        (RecordKind.BATCH, None),
    ]


def test_a_batch_that_the_leader_left_out_is_missed() -> None:
    model = EngineModel()
    model.acquire("a", TTL, 0, 0.0)
    model.publish("a", Position(1, 2), b"x", 0, 1.0)
    assert model.read("b", Position(1, 0), START)[0] == Record(RecordKind.MISSED, Position(1, 1), missed=1)


def test_the_mailbox_is_bounded_and_is_that_of_one_epoch() -> None:
    model = EngineModel(mails=2)
    with pytest.raises(Fenced):
        model.submit("b", Position(1, 1), b"x", 0.0)
    model.acquire("a", TTL, 0, 0.0)
    model.submit("b", Position(1, 1), b"1", 1.0)
    model.submit("c", Position(1, 1), b"2", 1.0)
    with pytest.raises(MailboxFull):
        model.submit("b", Position(1, 2), b"3", 1.0)
    assert len(model.take(Position(1, 1))) == 1
    model.submit("b", Position(1, 2), b"3", 1.0)
    model.acquire("b", TTL, 0, 10.0)
    assert model.take(Position(2, 0)) == []
    with pytest.raises(Fenced):
        model.submit("c", Position(1, 2), b"4", 10.0)
