"""Unsent content of a composer: `Composition`."""

from onesocket_chat.model._composition import Composition, ReplyTarget

BOB = ReplyTarget(7, "bob")


def test_a_new_message_waits_while_another_one_is_edited() -> None:
    written = Composition().typed("mine").editing(5, "old").typed("new")
    assert (written.shown, written.text) == ("new", "mine")
    left = written.plain()
    assert left.shown == "mine"
    assert left.editing(5, "old").shown == "new"  # taken up where it was left
    assert left.saved(5).editing(5, "old").shown == "old"


def test_what_was_sent_is_empty_and_what_is_changed_stays() -> None:
    written = Composition().typed("mine").answering(BOB)
    assert written.answers == BOB
    assert written.sent() == Composition()
    assert written.sent().is_empty
    changed = written.editing(5, "old").typed("new").plain().sent()
    assert changed.changes == {5: "new"}
    assert not changed.is_empty


def test_answering_and_editing_exclude_each_other() -> None:
    assert Composition().editing(5, "old").answering(BOB).edits is None
    assert Composition().answering(BOB).plain().answers is None


def test_a_change_that_can_not_be_saved_belongs_to_the_next_message() -> None:
    written = Composition().typed("mine").editing(5, "old").typed("new").moved(5)
    assert (written.shown, written.edits, written.changes) == ("mine\nnew", None, {})


def test_changes_are_bounded() -> None:
    written = Composition()
    for number in range(30):
        written = written.editing(number, "old").typed(f"new {number}").plain()
    assert list(written.changes) == list(range(10, 30))
