"""The books of the proof find what they are kept for."""

import pytest

from tests.campaigns.chaos.ledger import SENT, UNKNOWN, DeliveryLedger


def recorded(*, sent: int = 0, arrived: int = 0) -> DeliveryLedger:
    books = DeliveryLedger()
    books.sender("p").accepted = sent
    for number in range(1, sent + 1):
        books.fate("p", number, SENT)
    for number in range(1, arrived + 1):
        books.arrived(f"p {number}", 1)
    return books


def test_books_that_agree() -> None:
    balance = recorded(sent=5, arrived=5).balance()
    assert balance.wrong == []
    assert balance.figures[SENT] == 5


def test_sent_and_never_arrived() -> None:
    assert recorded(sent=5, arrived=4).balance().wrong == ["p 5 was sent, they said, and never arrived"]


def test_the_last_ones_of_a_killed_owner_are_the_kernels() -> None:
    books = recorded(sent=5, arrived=4)
    books.killed_connections.add(1)
    balance = books.balance()
    assert balance.wrong == []
    assert balance.figures["sent, and lost in the kernel with a connection that was cut off"] == 1


def test_in_the_middle_of_a_killed_owners_line_nothing_is_lost() -> None:
    books = recorded(sent=5, arrived=2)
    books.killed_connections.add(1)
    books.arrived("p 5", 1)
    assert books.balance().wrong == [
        "p 3 was sent, they said, and never arrived",
        "p 4 was sent, they said, and never arrived",
    ]


def test_never_told() -> None:
    books = recorded(sent=3, arrived=3)
    books.sender("p").accepted = 4
    assert books.balance().wrong == ["p was never told what became of 1 messages, the first: 4"]


@pytest.mark.parametrize(("number", "is_wrong"), [(2, True), (3, False)])
def test_only_a_message_with_an_id_may_arrive_twice(number: int, is_wrong: bool) -> None:
    books = recorded(sent=3, arrived=3)
    books.arrived(f"p {number}", 2)
    assert bool(books.balance().wrong) is is_wrong


@pytest.mark.parametrize(("fate", "is_wrong"), [("ClientClosed", True), ("MessageExpired", True), (UNKNOWN, False)])
def test_what_was_not_sent_must_not_arrive(fate: str, is_wrong: bool) -> None:
    books = DeliveryLedger()
    books.sender("p").accepted = 1
    books.fate("p", 1, fate)
    books.arrived("p 1", 1)
    assert bool(books.balance().wrong) is is_wrong


def test_a_message_with_an_id_is_not_unknown_unless_its_sender_left() -> None:
    books = recorded(sent=2, arrived=2)
    books.sender("p").accepted = 3
    books.fate("p", 3, UNKNOWN)
    assert len(books.balance().wrong) == 1
    books.sender("p").left = True
    assert books.balance().wrong == []


def test_order_fates_and_strangers() -> None:
    books = recorded(sent=2)
    books.arrived("p 2", 1)
    books.arrived("p 1", 1)
    books.fate("p", 1, UNKNOWN)
    books.arrived("q 1", 1)
    books.arrived("nonsense", 1)
    wrong = "\n".join(books.balance().wrong)
    for text in ("another order", "two fates", "messages of q", "nobody sent"):
        assert text in wrong
