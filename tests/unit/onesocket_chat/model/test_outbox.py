"""The outbox: submitted messages that are not known to be stored."""

from onesocket_chat.model._outbox import Draft, DraftState, Outbox


def draft(nonce: str, channel: int = 1) -> Draft:
    return Draft(nonce, channel, f"text {nonce}", since=0.0)


def test_they_leave_in_order_and_channels_do_not_wait_for_each_other() -> None:
    outbox = Outbox().add(draft("a")).add(draft("b", 2)).add(draft("c"))
    assert [one.nonce for one in outbox.of(1)] == ["a", "c"]
    assert outbox.next_of(1) == draft("a")
    assert outbox.next_of(2) == draft("b", 2)
    assert outbox.next_of(3) is None
    assert len(outbox) == 3


def test_a_failed_one_holds_up_nobody_until_it_is_tried_again() -> None:
    outbox = Outbox().add(draft("a")).add(draft("b")).mark("a", DraftState.FAILED, "refused")
    following = outbox.next_of(1)
    assert following is not None
    assert following.nonce == "b"
    failed = outbox.find("a")
    assert failed is not None
    assert failed.reason == "refused"
    again = outbox.retry("a", 9.0)
    assert [(one.nonce, one.fate, one.since, one.reason) for one in again.drafts] == [
        ("b", DraftState.WAITING, 0.0, ""),
        ("a", DraftState.WAITING, 9.0, ""),
    ]
    assert outbox.retry("gone", 9.0) is outbox


def test_one_that_is_stored_or_given_up_goes() -> None:
    outbox = Outbox().add(draft("a")).add(draft("b"))
    assert [one.nonce for one in outbox.without("a").drafts] == ["b"]
    assert outbox.without("gone") == outbox
