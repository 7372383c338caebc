"""Messages between a process and the owner: none is lost in silence, none is sent twice unless its sender allows it."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onesocket.client import OutboxLimits
from onesocket.client._delivery import Delivery
from onesocket.errors import ConnectionReset, DeliveryUnknown, MessageExpired, OnesocketError, OutboxFull
from onesocket.sharing.host._process_outbox import EntryState, OutboxEntry, ProcessOutbox


class RecordingSender:
    """Accepts messages, and remembers their fates."""

    def __init__(self, limits: OutboxLimits | None = None) -> None:
        self.ledger = ProcessOutbox(limits or OutboxLimits(10, 5.0))
        self.fates: dict[str, list[str]] = {}

    def send(self, text: str, now: float = 0.0, *, resend: bool = False, room: bool = False) -> OutboxEntry:
        def on_done(delivery: Delivery) -> None:
            fate = "sent" if delivery.error is None else type(delivery.error).__name__
            self.fates[text].append("withdrawn" if entry.state is EntryState.WITHDRAWN else fate)

        entry = self.ledger.accept(text, now, resend=resend, room=room)
        entry.on_done = on_done
        self.fates[text] = []
        return entry

    def handed(self) -> list[str]:
        return [str(entry.data) for entry in self.ledger.hand_over()]


def test_a_result_settles_once() -> None:
    sender = RecordingSender()
    entry = sender.send("a")
    assert not sender.ledger.settle(entry.number, None)  # not handed to anybody
    assert sender.handed() == ["a"]
    assert sender.ledger.settle(entry.number, None)
    assert not sender.ledger.settle(entry.number, ConnectionReset("too late"))
    assert sender.fates == {"a": ["sent"]}
    assert len(sender.ledger) == 0


def test_what_the_owner_never_got_goes_to_the_next_before_what_came_later() -> None:
    sender = RecordingSender()
    sender.send("handed, named", resend=True)
    sender.send("handed")
    assert sender.handed() == ["handed, named", "handed"]
    sender.send("waiting")
    sender.ledger.owner_gone(in_order=False)
    assert sender.fates["handed"] == ["DeliveryUnknown"]
    assert sender.handed() == ["handed, named", "waiting"]


def test_an_owner_that_leaves_in_order_sent_nothing_of_what_got_no_result() -> None:
    sender = RecordingSender()
    entries = [sender.send(text) for text in "abc"]
    sender.handed()
    sender.ledger.settle(entries[0].number, None)
    sender.ledger.owner_gone(in_order=True)
    assert sender.handed() == ["b", "c"]
    assert sender.fates == {"a": ["sent"], "b": [], "c": []}


def test_unknown_upstream_is_tried_again_only_with_a_name() -> None:
    sender = RecordingSender()
    plain, named = sender.send("plain"), sender.send("named", resend=True)
    sender.handed()
    for entry in (plain, named):
        sender.ledger.settle(entry.number, DeliveryUnknown("?"))
    assert sender.fates == {"plain": ["DeliveryUnknown"], "named": []}
    assert sender.handed() == ["named"]


def test_bounds() -> None:
    sender = RecordingSender(OutboxLimits(2, 5.0))
    sender.send("a")
    sender.send("b")
    with pytest.raises(OutboxFull):
        sender.send("c")
    sender.send("taken at once", room=True)
    assert len(sender.ledger) == 3


def test_age_tells_apart_what_was_not_sent_and_what_nobody_knows() -> None:
    sender = RecordingSender()
    sender.send("handed", 0.0)
    sender.handed()
    sender.send("waiting", 1.0)
    assert sender.ledger.next_due() == 5.0
    sender.ledger.expire(4.9)
    assert sender.fates == {"handed": [], "waiting": []}
    assert sender.ledger.expire(6.0) == [1]  # the owner is asked for it
    assert sender.fates == {"handed": [], "waiting": ["MessageExpired"]}
    assert sender.ledger.next_due() == 7.0
    assert sender.ledger.expire(7.0) == []
    assert sender.fates == {"handed": ["DeliveryUnknown"], "waiting": ["MessageExpired"]}
    assert sender.ledger.next_due() is None


def test_withdrawn() -> None:
    sender = RecordingSender()
    waiting = sender.send("waiting")
    assert not sender.ledger.withdraw(waiting, "?", 0.0)
    assert waiting.state is EntryState.WITHDRAWN
    handed = sender.send("handed")
    assert sender.handed() == ["handed"]
    assert sender.ledger.withdraw(handed, "?", 0.0)
    assert handed.state is EntryState.RECALLED
    assert not sender.ledger.withdraw(handed, "?", 0.0)  # its sender waits no longer
    assert not sender.ledger.settle(handed.number, None)
    assert sender.fates == {"waiting": ["withdrawn"], "handed": ["DeliveryUnknown"]}


@pytest.mark.parametrize("why", ["cancelled", "expired"])
@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        (MessageExpired("withdrawn"), "not sent"),
        (OutboxFull("full"), "not sent"),
        (None, "sent"),
        (DeliveryUnknown("?"), "DeliveryUnknown"),
        ("left", "not sent"),
        ("died", "DeliveryUnknown"),
        ("closed", "DeliveryUnknown"),
        ("silent", "DeliveryUnknown"),
    ],
)
@pytest.mark.parametrize("resend", [True, False])
def test_the_owner_says_whether_it_sent_what_it_is_asked_to_withdraw(
    why: str, answer: Exception | str | None, fate: str, *, resend: bool
) -> None:
    sender = RecordingSender()
    entry = sender.send("a", resend=resend)
    sender.handed()
    if why == "cancelled":
        assert sender.ledger.withdraw(entry, "?", 5.0)
    else:
        assert sender.ledger.expire(5.0) == [entry.number]
    match answer:
        case "left" | "died":
            sender.ledger.owner_gone(in_order=answer == "left")
        case "closed":
            sender.ledger.reject(ConnectionReset("over"))
        case "silent":
            sender.ledger.expire(5.9)
            assert sender.fates == {"a": []}
            sender.ledger.expire(6.0)
        case None:
            sender.ledger.settle_sent(entry.number, entry.number)
        case _:
            sender.ledger.settle(entry.number, cast("OnesocketError", answer))
    not_sent = "withdrawn" if why == "cancelled" else "MessageExpired"
    assert sender.fates == {"a": [not_sent if fate == "not sent" else fate]}
    assert len(sender.ledger) == 0
    assert sender.handed() == []


def test_an_owner_is_given_as_many_as_it_may_hold_and_one_that_is_withdrawn_makes_room() -> None:
    sender = RecordingSender(OutboxLimits(2, 5.0))
    entries = [sender.send(str(number), room=True) for number in range(2 + 1_024 + 2)]
    assert len(sender.ledger.hand_over()) == 2 + 1_024
    assert sender.ledger.withdraw(entries[0], "?", 0.0)
    assert sender.handed() == []
    sender.ledger.settle(entries[0].number, MessageExpired("withdrawn"))
    assert sender.handed() == ["1026"]
    sender.ledger.settle_sent(entries[1].number, entries[3].number)
    assert sender.handed() == ["1027"]
    sender.send("last", room=True)
    assert [str(entry.data) for entry in sender.ledger.hand_over(everything=True)] == ["last"]


@pytest.mark.parametrize("error", [None, OutboxFull("full")])
def test_a_result_that_is_there_is_not_changed_by_a_cancellation(error: OutboxFull | None) -> None:
    sender = RecordingSender()
    entry = sender.send("a")
    sender.handed()
    sender.ledger.settle(entry.number, error)
    assert not sender.ledger.withdraw(entry, "?", 0.0)
    assert entry.state is EntryState.SETTLED
    assert entry.error is error


def test_at_the_end_everybody_is_told() -> None:
    sender = RecordingSender()
    sender.send("handed")
    sender.handed()
    sender.send("waiting")
    sender.ledger.reject(MessageExpired("over"))
    assert sender.fates == {"handed": ["DeliveryUnknown"], "waiting": ["MessageExpired"]}


@given(
    st.lists(
        st.sampled_from(["send", "named", "hand", "sent", "unknown", "gone", "left", "age", "cancel"]), max_size=60
    )
)
def test_nobody_is_told_twice_and_nothing_plain_is_handed_twice(story: list[str]) -> None:
    sender = RecordingSender(OutboxLimits(100, 5.0))
    now = 0.0
    out: list[OutboxEntry] = []
    in_doubt: set[str] = set()
    for number, step in enumerate(story):
        match step:
            case "send":
                sender.send(f"plain {number}", now)
            case "named":
                sender.send(f"named {number}", now, resend=True)
            case "hand":
                new = sender.ledger.hand_over()
                assert not {str(entry.data) for entry in new} & in_doubt
                out += new
            case "sent" if out:
                sender.ledger.settle(out.pop(0).number, None)
            case "unknown" if out:
                entry = out.pop(0)
                if not entry.resend:
                    in_doubt.add(str(entry.data))
                sender.ledger.settle(entry.number, DeliveryUnknown("?"))
            case "gone" | "left":
                if step == "gone":
                    in_doubt |= {str(entry.data) for entry in out if not entry.resend}
                out.clear()
                sender.ledger.owner_gone(in_order=step == "left")
            case "cancel" if out:
                sender.ledger.withdraw(out[0], "?", now)
            case "age":
                now += 2.0
                sender.ledger.expire(now)
            case _:
                pass
    assert all(len(fates) <= 1 for fates in sender.fates.values())
    sender.ledger.reject(MessageExpired("over"))
    assert all(len(fates) == 1 for fates in sender.fates.values())


@pytest.mark.parametrize("how", ["lost", "unknown", "left"])
@pytest.mark.parametrize("end", ["expires", "full", "rejected", "sent"])
def test_what_may_have_arrived_is_never_told_as_not_sent(how: str, end: str) -> None:
    sender = RecordingSender()
    entry = sender.send("named", resend=True)
    sender.handed()
    if how == "unknown":
        sender.ledger.settle(entry.number, DeliveryUnknown("?"))
    else:
        sender.ledger.owner_gone(in_order=how == "left")
    match end:
        case "expires":
            sender.ledger.expire(100.0)
        case "full":
            sender.handed()
            sender.ledger.settle(entry.number, OutboxFull("full"))
        case "rejected":
            sender.ledger.reject(ConnectionReset("no more"))
        case _:
            sender.handed()
            sender.ledger.settle(entry.number, None)
    not_sent = {"expires": "MessageExpired", "full": "OutboxFull", "rejected": "ConnectionReset"}
    told = "sent" if end == "sent" else not_sent[end] if how == "left" else "DeliveryUnknown"
    assert sender.fates == {"named": [told]}


def test_a_sender_that_is_cancelled_hears_whether_it_may_have_arrived() -> None:
    sender = RecordingSender()
    entry = sender.send("named", resend=True)
    sender.handed()
    sender.ledger.owner_gone(in_order=False)
    assert not sender.ledger.withdraw(entry, "?", 0.0)  # no owner has it now
    assert sender.fates == {"named": ["DeliveryUnknown"]}
    other = sender.send("never handed on")
    assert not sender.ledger.withdraw(other, "?", 0.0)
    assert other.state is EntryState.WITHDRAWN
