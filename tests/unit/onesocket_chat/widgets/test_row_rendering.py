"""Rows as they are drawn: groups, days, Markdown, mentions, links, and texts of hostile authors."""

import re
from datetime import UTC
from typing import Any

import pytest
from msgspec.structs import replace
from textual.app import App, ComposeResult

from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._history import ChannelHistory
from onesocket_chat.model._models import Message
from onesocket_chat.model._outbox import Draft, DraftState, Outbox
from onesocket_chat.widgets import _rows
from onesocket_chat.widgets._message_list import MessageList
from onesocket_chat.widgets._row_rendering import render_row
from onesocket_chat.widgets._rows import Row, local_time, views_of
from tests.unit.onesocket_chat.payloads import ADA, BOB, GENERAL, initial_state, message


def drawn(*rows: Row, **more: Any) -> list[str]:
    """The text of these rows."""
    return [render_row(view).plain for view in views_of(list(rows), initial_state(), **more)]


def at(message_id: int, time: str, author: int = BOB, **more: Any) -> Message:
    return message(message_id, author, timestamp=f"2026-01-{time}:00+00:00", content=f"m{message_id}", **more)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days begin where UTC's do, wherever the test runs."""
    monkeypatch.setattr(_rows, "_ZONE", UTC)
    local_time.cache_clear()


def test_messages_of_one_author_are_a_group_until_there_is_a_pause() -> None:
    rows = [at(1, "02T10:00"), at(2, "02T10:06"), at(3, "02T10:12"), at(4, "02T10:20"), at(5, "02T10:21", ADA)]
    assert drawn(*rows) == [
        "── Fri 2 Jan 2026 ──\nbob  10:00\nm1",
        "m2",
        "m3",
        " \nbob  10:20\nm4",
        " \nada  10:21\nm5",
    ]


def test_a_reply_and_a_new_day_begin_a_group() -> None:
    rows = [at(1, "02T23:58"), at(2, "02T23:59", type=19), at(3, "03T00:00")]
    assert drawn(*rows)[1:] == [
        " \nbob  23:59\n↳ a message that was deleted\nm2",
        " \n── Sat 3 Jan 2026 ──\nbob  00:00\nm3",
    ]


def test_the_quote_of_a_reply_has_names_and_no_spoilers() -> None:
    quoted = {"id": "1", "author": {"id": "2", "username": "bob"}, "content": f"<@{ADA}> ||secret||\x1b[2J\nx"}
    (lines,) = drawn(message(2, ADA, type=19, referenced_message=quoted))
    assert lines.splitlines()[2] == "↳ bob: @ada ████\ufffd[2J x"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (f"**bold** _it_ ~~no~~ <@99> <#{GENERAL}> <#7>", "bold it no @unknown #general #unknown"),
        ("> quoted\n```py\nx = 1\n```", "quoted x = 1"),
        ("`||` x ||**secret** more||", "|| x ████"),
        ("|| a||secret||", "|| a████"),
        ("\\*no\\* [x](https://e.org)", "*no* [x](https://e.org)"),
    ],
)
def test_a_quote_is_plain_text(content: str, shown: str) -> None:
    quoted = {"id": "1", "author": {"id": "2", "username": "bob"}, "content": content}
    (lines,) = drawn(message(2, ADA, type=19, referenced_message=quoted))
    assert lines.splitlines()[2] == f"↳ bob: {shown}"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (11, "11 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (25e6, "25.0 MB"),
    ],
)
def test_the_size_of_a_file_is_in_the_unit_that_fits(size: int, text: str) -> None:
    file = {"id": "9", "filename": "x", "size": size, "url": "https://chat.example/x"}
    (view,) = views_of([message(1, attachments=[file])], initial_state())
    assert f"file x, {text}  https" in render_row(view).plain


def test_files_are_named_below_the_text_with_their_addresses() -> None:
    files = [
        {"id": "9", "filename": "cat\x1b[2J\n.png", "size": 129_400, "url": "https://chat.example/files/9/cat.png"},
        {"id": "10", "filename": "x", "size": 2_500_000, "url": "javascript:x"},
    ]
    (view, bare) = views_of(
        [message(1, attachments=files), message(2, content="", attachments=files[1:])], initial_state()
    )
    content = render_row(view)
    assert content.plain.splitlines()[-3:] == [
        "message 1",
        "file cat\ufffd[2J .png, 129 kB  https://chat.example/files/9/cat.png",
        "file x, 2.5 MB  javascript:x",
    ]
    links = {
        (content.plain[one.start : one.end], one.style.link) for one in content.spans if not isinstance(one.style, str)
    }
    assert links == {("https://chat.example/files/9/cat.png", "https://chat.example/files/9/cat.png")}
    assert render_row(bare).plain == "file x, 2.5 MB  javascript:x"


def test_drafts_of_one_fate_are_a_group() -> None:
    waiting = [Draft(f"n{number}", GENERAL, f"d{number}", since=0.0) for number in (1, 2)]
    failed = replace(waiting[0], nonce="n3", fate=DraftState.FAILED, reason="no")
    assert drawn(at(1, "02T10:00", ADA), *waiting, failed)[1:] == [
        " \nada  waiting for the connection …\nd1",
        "d2",
        " \nada  not sent: no  (t tries again, x discards)\nd1",
    ]


def test_a_time_that_no_calendar_has_is_a_question_mark() -> None:
    odd = [message(1, timestamp="9999-12-31T23:59:59-12:00"), message(2, timestamp="yesterday")]
    assert [lines.splitlines()[-2] for lines in drawn(*odd)] == ["bob  ?", "bob  ?"]


def test_mentions_are_names_and_those_of_the_user_stand_out() -> None:
    text = f"<@{ADA}> <@{BOB}> <#{GENERAL}> <@999> `<@{BOB}>`"
    (view,) = views_of([message(1, content=text)], initial_state())
    content = render_row(view)
    assert content.plain.endswith(f"@ada @bob #general @unknown <@{BOB}>")
    marked = {content.plain[span.start : span.end] for span in content.spans if "warning-muted" in str(span.style)}
    assert marked == {"@ada"}


def test_a_spoiler_is_hidden_until_it_is_asked_for() -> None:
    row = message(1, content=f"x ||the 漢\nbutler <@{BOB}>|| y")
    assert drawn(row)[0].splitlines()[2:] == ["x ██████", "███████████ y"]
    assert drawn(row, revealed=("m1",))[0].splitlines()[2:] == ["x the 漢", "butler @bob y"]


def test_a_spoiler_that_is_cut_stays_covered() -> None:
    assert "secret" not in drawn(message(1, content="||" + "secret " * 20_000 + "||"))[0]


HOSTILE = (
    "\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07here\x1b]8;;\x07 \x9b2J \u202egnp.exe "
    "[@click=app.quit]quit[/] [link=https://evil.example]x[/link] [bank](https://evil.example) https://e.org/a\u202eb"
)


class Window(App[None]):
    """A list with one message of a hostile author."""

    def __init__(self, shown: Message) -> None:
        super().__init__()
        self.shown = shown

    def compose(self) -> ComposeResult:
        yield MessageList(GENERAL)

    def on_mount(self) -> None:
        history = ChannelHistory((self.shown,), is_whole=True, is_stale=False)
        self.query_one(MessageList).show(ChatState(histories={GENERAL: history}, outbox=Outbox()))

    def written(self) -> str:
        """The bytes for a terminal, as text."""
        return "\n".join(strip.render(self.console) for strip in self.screen._compositor.render_strips())


async def test_a_hostile_author_reaches_the_terminal_with_text_and_true_links_alone() -> None:
    name = "\x1b[2J\u202eeve\x9b31m"
    one = message(1, content=HOSTILE)
    app = Window(replace(one, author=replace(one.author, username=name)))
    async with app.run_test(size=(100, 20)) as pilot:
        await pilot.pause()
        written = app.written()
    links = re.findall(r"\x1b\]8;[^;]*;([^\x1b]+)\x1b\\([^\x1b]*(?:\x1b\[[\d;]*m[^\x1b]*)*)", written)
    assert {target for target, _ in links} == {"https://evil.example", "https://e.org/ab"}
    for target, text in links:
        assert re.sub(r"\x1b\[[\d;]*m", "", text) == target
    left = re.sub(r"\x1b\[[\d;]*m|\x1b\]8;[^\x1b\x07]*\x1b\\", "", written)
    assert {character for character in left if not character.isprintable()} == {"\n"}
    assert "[@click=app.quit]quit[/]" in left
    assert "\ufffd[31mred" in left


async def test_a_message_of_a_hundred_thousand_characters_is_cut() -> None:
    app = Window(message(1, content="x" * 100_000))
    async with app.run_test(size=(100, 20)) as pilot:
        await pilot.pause()
        assert app.query_one(MessageList).virtual_size.height < 100
        assert "more characters" in app.written()
