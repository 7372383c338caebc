"""The board of notices and its sinks."""

import io
import logging
import sys
from typing import Any

import pytest
from rich.console import Console

from onesocket import OnesocketError, State
from onesocket.client import Change
from onesocket.errors import ConnectionRefused, InvalidOption, MissingExtra, ServerBusy, SessionExpired
from onesocket.notices import (
    CallableSink,
    ConnectionNotices,
    LogSink,
    Notice,
    NoticeLevel,
    Notices,
    NoticeSink,
    RichSink,
)

LOST = ("connection-lost", NoticeLevel.WARNING, "Connection Lost", "the line ended")


class RecordingBoard:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.told: list[Notice | str] = []

    def show(self, notice: Notice) -> None:
        self.told.append(notice)

    def withdraw(self, notice_id: str) -> None:
        self.told.append(notice_id)


class NoticeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- the board ------------------------------------------------------------------------------------------------------


def test_the_same_notice_is_shown_once_while_it_lasts() -> None:
    board, clock = RecordingBoard(), NoticeClock()
    notices = Notices(board, clock=clock)
    first = notices.post(*LOST)
    assert first == Notice(*LOST, since=1000.0)
    clock.now = 1005.0
    assert notices.post(*LOST) == first
    assert board.told == [first]
    assert list(notices.active) == [first]
    notices.withdraw("connection-lost")
    notices.withdraw("connection-lost", "never-there")
    assert board.told == [first, "connection-lost"]
    assert not notices.active
    assert notices.post(*LOST).since == 1005.0


@pytest.mark.parametrize(
    "change",
    [{"text": "something else"}, {"title": "Other"}, {"level": NoticeLevel.ERROR}],
    ids=lambda c: next(iter(c)),
)
def test_what_changed_is_shown_again_with_its_old_date(change: dict[str, Any]) -> None:
    board, clock = RecordingBoard(), NoticeClock()
    notices = Notices(board, clock=clock)
    old = notices.post(*LOST)
    clock.now = 1005.0
    new = notices.post(**({"notice_id": LOST[0], "level": LOST[1], "title": LOST[2], "text": LOST[3]} | change))
    assert board.told == [old, new]
    assert (new.since, notices.active) == (1000.0, (new,))


def test_clear_withdraws_everything_in_order() -> None:
    board = RecordingBoard()
    notices = Notices(board)
    for number in range(3):
        notices.post(f"n{number}", NoticeLevel.INFO, "T", "t")
    assert [notice.id for notice in notices.active] == ["n0", "n1", "n2"]
    notices.clear()
    assert board.told[3:] == ["n0", "n1", "n2"]
    assert not notices.active


def test_a_sink_that_comes_late_is_told_what_is_so_and_can_go() -> None:
    notices = Notices()
    notice = notices.post(*LOST)
    board = RecordingBoard()
    off = notices.add(board)
    assert board.told == [notice]
    off()
    off()
    notices.clear()
    assert board.told == [notice]


def test_a_sink_that_raises_is_logged_and_the_others_still_hear(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def show(self, notice: Notice) -> None:
            raise RuntimeError("no screen")

        def withdraw(self, notice_id: str) -> None:
            raise RuntimeError("no screen")

    board = RecordingBoard()
    notices = Notices(Broken(), board)
    notice = notices.post(*LOST)
    notices.withdraw(notice.id)
    assert board.told == [notice, notice.id]
    assert [record.getMessage() for record in caplog.records] == ["the notice sink Broken failed"] * 2
    notices.post(*LOST)
    notices.add(Broken())  # is told at once
    assert len(caplog.records) == 4


def test_a_sink_that_posts_in_turn_is_heard_in_order() -> None:
    class Reacts(RecordingBoard):
        def show(self, notice: Notice) -> None:
            super().show(notice)
            notices.withdraw(notice.id)

    reacts, board = Reacts(), RecordingBoard()
    notices = Notices(reacts, board)
    notice = notices.post(*LOST)
    assert reacts.told == board.told == [notice, notice.id]


def test_what_is_no_sink_is_refused() -> None:
    with pytest.raises(InvalidOption, match="CallableSink"):
        Notices(print)  # type: ignore[arg-type]


def test_control_characters_cannot_get_out() -> None:
    notice = Notices().post("id", NoticeLevel.INFO, "A\nTitle", "closed: \x1b[2Jevil\r\nERROR forged\u202e")
    assert notice.title == "A Title"
    assert notice.text == "closed:  [2Jevil  ERROR forged "


def test_its_repr_names_what_is_active() -> None:
    notices = Notices(RecordingBoard())
    notices.post(*LOST)
    assert repr(notices) == "<Notices active=['connection-lost'] sinks=1>"


# --- sinks ----------------------------------------------------------------------------------------------------------


def test_the_log_sink_logs_at_the_notices_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    notices = Notices(LogSink())
    notices.post("a", NoticeLevel.ERROR, "Connection Failed", "100% lost")
    notices.post("b", NoticeLevel.WARNING, "W", "w")
    notices.post("c", NoticeLevel.INFO, "I", "i")
    notices.withdraw("a")
    assert caplog.record_tuples == [
        ("onesocket", logging.ERROR, "Connection Failed: 100% lost"),
        ("onesocket", logging.WARNING, "W: w"),
        ("onesocket", logging.INFO, "I: i"),
        ("onesocket", logging.INFO, "Connection Failed: over"),
    ]


def test_the_log_sink_leaves_to_the_client_what_that_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    theirs = logging.getLogger("my.app")
    notices = Notices(LogSink(), LogSink(theirs))
    notices.post(*LOST)
    notices.clear()
    assert {record.name for record in caplog.records} == {"my.app"}
    assert len(caplog.records) == 2


def test_the_log_sink_takes_another_logger(caplog: pytest.LogCaptureFixture) -> None:
    Notices(LogSink(logging.getLogger("my.app"))).post("a", NoticeLevel.ERROR, "T", "t")
    assert caplog.record_tuples == [("my.app", logging.ERROR, "T: t")]


def test_the_callable_sink_calls() -> None:
    shown: list[Notice] = []
    withdrawn: list[str] = []
    notices = Notices(CallableSink(shown.append, withdrawn.append), CallableSink(shown.append))
    notice = notices.post(*LOST)
    notices.clear()
    assert (shown, withdrawn) == ([notice, notice], [notice.id])


def test_the_callable_sink_takes_no_coroutine_function() -> None:
    async def show(_notice: Notice) -> None: ...

    with pytest.raises(InvalidOption, match="coroutine"):
        CallableSink(show)


def terminal() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=200, color_system=None), out


def test_the_rich_sink_prints_and_takes_no_markup_from_a_server() -> None:
    console, out = terminal()
    notices = Notices(RichSink(console))
    notices.post("a", NoticeLevel.ERROR, "Connection Failed", "closed: [red]evil[/red] [/] [link=x]y")
    notices.withdraw("a")
    assert out.getvalue() == "Connection Failed: closed: [red]evil[/red] [/] [link=x]y\nConnection Failed: over\n"


def test_the_rich_sink_prints_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Notices(RichSink()).post("a", NoticeLevel.INFO, "Title", "text")
    captured = capsys.readouterr()
    assert "Title: text" in captured.err
    assert captured.out == ""


def test_without_rich_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(MissingExtra, match=r'pip install "onesocket\[cli\]"'):
        RichSink()


def test_every_sink_fits_the_port() -> None:
    sinks: list[NoticeSink] = [LogSink(), CallableSink(print), RichSink(terminal()[0]), RecordingBoard()]
    assert len(Notices(*sinks).active) == 0


# --- what a connection gives notice of ------------------------------------------------------------------------------


def changed(new: State, error: OnesocketError | None = None) -> Change:
    return Change(0.0, State.CONNECTING, new, 1, "Test", error)


def active(notices: Notices) -> list[tuple[str, str]]:
    return [(notice.id, notice.text) for notice in notices.active]


def test_a_lost_connection_names_its_reason_and_the_next_attempt() -> None:
    notices = Notices()
    say = ConnectionNotices(notices, "feed")
    say.changed(changed(State.BACKING_OFF, ConnectionRefused("nobody home")), 2.2)
    assert active(notices) == [("connection-lost", "Lost the connection to feed: nobody home; trying again in 3 s")]
    say.changed(changed(State.CONNECTING), None)
    assert len(notices.active) == 1  # not yet
    say.changed(changed(State.BACKING_OFF, ServerBusy("limit exceeded")), 30.0)
    assert active(notices) == [("service-busy", "Not accepted by feed: limit exceeded; trying again in 30 s")]
    say.changed(changed(State.CONNECTED), None)
    assert not notices.active


@pytest.mark.parametrize("state", [State.DISCONNECTED, State.STOPPED, State.CLOSED])
def test_where_nobody_wants_a_connection_nothing_is_amiss(state: State) -> None:
    notices = Notices()
    say = ConnectionNotices(notices, "feed")
    say.changed(changed(State.BACKING_OFF, ConnectionRefused("nobody home")), 0.0)
    say.changed(changed(state, ConnectionRefused("nobody home")), None)
    assert not notices.active


def test_an_expired_session_is_no_failed_connection() -> None:
    notices = Notices()
    say = ConnectionNotices(notices, "feed")
    say.changed(changed(State.BACKING_OFF, ConnectionRefused("nobody home")), 0.0)
    say.session_expired()
    say.changed(changed(State.FAILED, SessionExpired("no user is signed in any more")), None)
    assert active(notices) == [("session-expired", "Disconnected from feed: no user is signed in any more")]
    say.auth_answered(signed_in=False)
    assert len(notices.active) == 1
    say.auth_answered(signed_in=True)
    assert not notices.active


def test_secrets_are_struck_out() -> None:
    notices = Notices()
    say = ConnectionNotices(notices, "feed", lambda: ("s3cret",))
    say.failed(ConnectionRefused("the server said s3cret"))
    say.sign_in_failed(OnesocketError("no s3cret"))
    assert [text for _, text in active(notices)] == [
        "Failed to connect to feed: the server said ***",
        "Failed to sign in to feed: no ***",
    ]
    say.clear()
    assert not notices.active


def test_a_secret_is_masked_and_a_token_of_one_letter_does_not_shred_the_text() -> None:
    sink = RecordingBoard()
    ConnectionNotices(Notices(sink), "feed", lambda: ("e", "s3cret", "s3cret-and-more")).failed(
        ConnectionRefused("the server said: s3cret-and-more, s3cret")
    )
    assert [notice.text for notice in sink.told if isinstance(notice, Notice)] == [
        "Failed to connect to feed: the server said: ***, ***"
    ]
