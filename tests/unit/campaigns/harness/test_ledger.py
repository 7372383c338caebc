"""The ledger finds the disagreements that it is kept for."""

import pytest

from tests.campaigns.harness.ledger import (
    CANCELLED,
    FULL,
    NO_FATE,
    SENT,
    UNKNOWN,
    WAITING,
    ConnectionRecord,
    DeliveryLedger,
    SenderRecord,
    Tally,
    cause_of_loss,
)


def recorded(*, sent: int = 0, arrived: int = 0) -> DeliveryLedger:
    ledger = DeliveryLedger(resend_every=3)
    ledger.sender("p").accepted = sent
    for number in range(1, sent + 1):
        ledger.fate("p", number, SENT)
    for number in range(1, arrived + 1):
        ledger.arrived(f"p {number}", 1)
    return ledger


def test_fates_and_arrivals_that_agree() -> None:
    tally = recorded(sent=5, arrived=5).balance()
    assert tally.wrong == []
    assert tally.fates == {SENT: 5}
    assert tally.arrived == 5


def test_sent_and_never_arrived() -> None:
    (wrong,) = recorded(sent=5, arrived=4).balance().wrong
    assert wrong.startswith("p: message 5 was sent and is lost")


def test_the_last_messages_on_a_broken_connection_may_be_lost() -> None:
    ledger = recorded(sent=5, arrived=4)
    ledger.broken_connections.add(1)
    tally = ledger.balance()
    assert tally.wrong == []
    assert tally.lost.total() == 1


def test_what_was_cancelled_may_have_arrived_once() -> None:
    ledger = recorded(sent=0, arrived=1)
    ledger.sender("p").accepted = 2
    ledger.fate("p", 1, CANCELLED)
    ledger.fate("p", 2, CANCELLED)
    tally = ledger.balance()
    assert (tally.wrong, tally.cancelled_arrived, tally.fates) == ([], 1, {CANCELLED: 2})
    ledger.arrived("p 1", 1)
    assert ledger.balance().wrong == ["p: message 1 arrived 2 times"]


@pytest.mark.parametrize("fate", ["ClientClosed", "MessageExpired", FULL, "ManuallyDisconnected", "WaitTimeout"])
def test_what_was_reported_as_not_sent_must_not_arrive(fate: str) -> None:
    ledger = recorded(arrived=1)
    ledger.sender("p").accepted = 1
    ledger.fate("p", 1, fate)
    assert ledger.balance().wrong == [f"p: message 1 arrived, though it was reported as {fate}"]


def test_in_the_middle_of_a_broken_connection_nothing_may_be_lost() -> None:
    ledger = recorded(sent=5, arrived=2)
    ledger.broken_connections.add(1)
    ledger.arrived("p 5", 1)
    assert [text.split(" was")[0] for text in ledger.balance().wrong] == ["p: message 3", "p: message 4"]


def test_a_message_without_a_fate_is_wrong_unless_its_sender_was_killed() -> None:
    ledger = recorded(sent=3, arrived=4)
    ledger.sender("p").accepted = 4
    assert ledger.balance().wrong == ["p: message 4 has no fate"]
    ledger.sender("p").accepted = None
    tally = ledger.balance()
    assert tally.wrong == []
    assert tally.fates[NO_FATE] == 1


@pytest.mark.parametrize(("number", "is_wrong"), [(2, True), (3, False)])
def test_only_a_message_that_may_be_resent_may_arrive_twice(number: int, is_wrong: bool) -> None:
    ledger = recorded(sent=3, arrived=3)
    ledger.arrived(f"p {number}", 2)
    tally = ledger.balance()
    assert bool(tally.wrong) is is_wrong
    assert tally.repeated == (not is_wrong)


@pytest.mark.parametrize(("fate", "is_wrong"), [("ClientClosed", True), ("MessageExpired", True), (UNKNOWN, False)])
def test_a_message_that_was_not_sent_must_not_arrive(fate: str, is_wrong: bool) -> None:
    ledger = DeliveryLedger(resend_every=3)
    ledger.sender("p").accepted = 1
    ledger.fate("p", 1, fate)
    ledger.arrived("p 1", 1)
    tally = ledger.balance()
    assert bool(tally.wrong) is is_wrong
    assert tally.unknown_arrived == (fate == UNKNOWN)


def test_a_message_that_may_be_resent_is_not_unknown_unless_its_sender_left() -> None:
    ledger = recorded(sent=2, arrived=2)
    ledger.sender("p").accepted = 3
    ledger.fate("p", 3, UNKNOWN)
    assert len(ledger.balance().wrong) == 1
    ledger.sender("p").left = True
    assert ledger.balance().wrong == []


def test_order_second_fates_and_unknown_senders_are_found() -> None:
    ledger = recorded(sent=2)
    ledger.arrived("p 2", 1)
    ledger.arrived("p 1", 1)
    ledger.arrived("p 7", 1)
    ledger.fate("p", 1, UNKNOWN)
    ledger.arrived("q 1", 1)
    ledger.arrived("nonsense", 1)
    wrong = "\n".join(ledger.balance().wrong)
    for text in ("another order", "two fates", "q: messages", "no process sent", "never sent"):
        assert text in wrong


@pytest.mark.parametrize(
    ("arrivals", "unknown", "is_wrong"),
    [
        ([(1, 1), (5, 2), (2, 1), (4, 1)], {2, 4}, False),  # the old owner went on, and sent what it had accepted
        ([(1, 1), (5, 2), (2, 1)], set(), True),  # its sender was told that it had been sent before
        ([(1, 1), (5, 2), (4, 1), (2, 1)], {2, 4}, True),  # not in order on the old connection itself
        ([(1, 1), (5, 2), (4, 2)], {4}, True),  # on the new one
        ([(1, 1), (4, 2), (5, 1)], {5}, True),  # accepted after the next connection was in use
    ],
)
def test_only_what_is_unknown_may_come_late_on_an_older_connection(
    arrivals: list[tuple[int, int]], unknown: set[int], is_wrong: bool
) -> None:
    ledger = DeliveryLedger(resend_every=100)
    ledger.sender("p").accepted = 5
    for number in range(1, 6):
        ledger.fate("p", number, UNKNOWN if number in unknown | {3} else SENT)
    for number, connection in arrivals:
        ledger.arrived(f"p {number}", connection)
    assert any("another order" in text for text in ledger.balance().wrong) is is_wrong


# --- records with a fixed capacity ----------------------------------------------------------------------------------


def sender(*fates: str) -> SenderRecord:
    record = SenderRecord(len(fates))
    for fate in fates:
        number = record.new()
        if fate != WAITING:
            record.settle(number, fate)
    return record


def balance(record: SenderRecord, received: list[int], *connections: ConnectionRecord) -> Tally:
    tally = Tally()
    tally.add("p", record, {number: times for number, times in enumerate(received, 1) if times}, connections)
    return tally


def test_messages_that_arrive_once_or_have_an_error_are_accounted_for() -> None:
    record = sender(SENT, "MessageExpired", UNKNOWN, UNKNOWN, FULL, "ClientClosed")
    tally = balance(record, [1, 0, 1, 0, 0, 0], ConnectionRecord(1, 3, "kill"))
    assert tally.wrong == []
    assert (tally.accepted, tally.arrived, tally.unknown_arrived) == (5, 2, 1)


@pytest.mark.parametrize(
    ("fate", "times"), [(SENT, 2), ("MessageExpired", 1), (FULL, 1), ("ClientClosed", 1), (WAITING, 1), (SENT, 0)]
)
def test_disagreements_are_found(fate: str, times: int) -> None:
    assert len(balance(sender(fate), [times], ConnectionRecord(1, 1, clean=True)).wrong) == 1


def test_a_message_that_was_never_sent_is_found() -> None:
    assert balance(sender(SENT), [1, 1], ConnectionRecord(1, 2)).wrong


def test_a_fate_is_final_and_the_capacity_known() -> None:
    record = sender(SENT, WAITING)
    with pytest.raises(RuntimeError, match="two fates: sent and"):
        record.settle(1, UNKNOWN)
    assert record.is_full
    assert [record.fate(number) for number in (1, 2, 3)] == [SENT, WAITING, WAITING]


@pytest.mark.parametrize(
    ("connections", "cause"),
    [
        ([ConnectionRecord(1, 4, "kill"), ConnectionRecord(6, 9)], "kill"),  # the tail of a broken connection
        ([ConnectionRecord(1, 4, clean=True), ConnectionRecord(6, 9)], None),  # ... of one that was closed in order
        ([ConnectionRecord(1, 9, "kill")], None),  # a hole in the middle
        (
            [ConnectionRecord(1, 4, clean=True), ConnectionRecord(cause="half-open"), ConnectionRecord(6, 9)],
            "half-open",
        ),
        ([ConnectionRecord(1, 2, "kill"), ConnectionRecord(3, 4, clean=True)], None),  # an earlier connection
        ([ConnectionRecord(6, 9, "kill")], None),  # a later connection
        ([ConnectionRecord(1, 4)], ""),  # broken without a fault
    ],
)
def test_only_a_broken_connection_may_lose_a_message(connections: list[ConnectionRecord], cause: str | None) -> None:
    assert cause_of_loss(5, connections) == cause
