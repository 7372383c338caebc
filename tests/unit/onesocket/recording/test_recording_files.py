"""The reader of recordings refuses what it doesn't know, and says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from onesocket.errors import ClosedByPeer, HandshakeRejected, OnesocketError, OpenTimeout, ServerBusy
from onesocket.recording import InvalidRecording, Recording
from onesocket.recording._lines import ErrorRecord, ReceivedLine, SentLine, content, encode_line
from onesocket.recording._show import describe
from onesocket.testing import FaultyServer, MemoryReplay

HEADER = '{"format":"onesocket recording","version":1,"by":"onesocket 9","at":1.5,"redacted":true}'
PING = '{"kind":"ping","t":1.0,"at":2.0,"client":1,"epoch":1,"payload":"00"}'

MESSAGE = '{"kind":"sent","t":1.0,"at":2.0,"client":1,"epoch":1,"size":1,"text":"a"}'


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_text("\n".join(lines) + end, "utf-8")
    return path


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([""], "is no recording: its first line has no format"),
        (["[1]"], "is no recording: its first line has no format"),
        (["\x7fELF"], "is no recording: its first line has no format"),
        (['{"format":"another"}'], "is no recording: its first line has no format"),
        ([HEADER.replace("1,", "2,", 1)], "has version 2 of the format, and this release reads 1"),
        ([HEADER.replace("1,", '"1",', 1)], "has version '1' of the format, and this release reads 1"),
        ([HEADER.replace("1.5", '"now"')], "line 1: Expected `float`, got `str`"),
        ([HEADER.replace("}", ',"more":1}')], "line 1: Object contains unknown field `more`"),
        ([HEADER, PING, PING.replace("ping", "teleport")], "line 3: Invalid value 'teleport'"),
        ([HEADER, PING.replace("}", ',"more":1}')], "line 2: Object contains unknown field `more`"),
        ([HEADER, PING.replace(',"epoch":1', "")], "line 2: Object missing required field `epoch`"),
        ([HEADER, "", PING], "line 2: Input data was truncated"),
        ([HEADER, PING[:-3]], "line 2: "),
        ([HEADER, PING.replace("00", "\x1b[31m")], "line 2: JSON is malformed"),
        ([HEADER, PING.replace("00", "zz")], "line 2: non-hexadecimal number"),
        ([HEADER, PING.replace("2.0", "1e300")], "line 2: 1e+300 is no time"),
        ([HEADER, PING.replace("2.0", "-1")], "line 2: -1.0 is no time"),
        ([HEADER, PING.replace("1.0", "-1e300")], "line 2: -1e+300 is no time"),
        ([HEADER, MESSAGE.replace("text", "base64")], "line 2: "),
        (
            [HEADER, MESSAGE.replace("}", ',"withheld":"login"}')],
            "line 2: a message has one of text, base64 and withheld",
        ),
        ([HEADER, MESSAGE.replace(',"text":"a"', "")], "line 2: a message has one of text, base64 and withheld"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, lines: list[str], text: str) -> None:
    path = write(tmp_path / "x.jsonl", *lines)
    with pytest.raises(InvalidRecording) as caught:
        Recording.load(path)
    assert text in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(HEADER.encode() + b"\n" + PING.encode().replace(b"00", b"\xff") + b"\n")
    with pytest.raises(InvalidRecording, match="line 2"):
        Recording.load(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecording, match="no complete first line"):
        Recording.load(write(tmp_path / "x.jsonl", end=""))


def test_a_last_line_that_was_torn_is_left_out(tmp_path: Path) -> None:
    recording = Recording.load(write(tmp_path / "x.jsonl", HEADER, PING, PING[:20], end=""))
    assert (len(recording.lines), recording.is_torn) == (1, True)
    assert not Recording.load(write(tmp_path / "x.jsonl", HEADER, PING)).is_torn


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    common = {"t": 1.25, "at": 2.5, "client": 1, "epoch": 3}
    texts = ['a\n"b"\x1b[31m\u202e\U0001f600\x9b', "", "\u2028"]
    lines = [ReceivedLine(**common, size=1, **content(text)) for text in texts]  # type: ignore[arg-type]
    lines.append(ReceivedLine(**common, size=2, **content(b"\x00\xff")))  # type: ignore[arg-type]
    recording = Recording(Recording.load(write(tmp_path / "x.jsonl", HEADER)).header, lines)
    recording.write(tmp_path / "y.jsonl")
    assert (tmp_path / "y.jsonl").read_text("utf-8").replace("\n", "").isprintable()
    read = Recording.load(tmp_path / "y.jsonl")
    assert read.lines == recording.lines
    assert [line.data for line in read.lines if isinstance(line, ReceivedLine)] == [*texts, b"\x00\xff"]


def test_no_control_character_is_shown() -> None:
    line = SentLine(t=0, at=0, client=1, epoch=1, size=5, text="\x1b]0;title\x07\u202e\x9b31m" * 50)
    assert describe(line).isprintable()
    assert encode_line(line).isprintable()


@pytest.mark.parametrize(
    "error",
    [
        ClosedByPeer("closed", code=1008, reason="a\x1breason", retryable=False),
        HandshakeRejected("rejected", status=503, retryable=True, retry_after=2.5),
        ServerBusy("busy", retry_after=None),
        OpenTimeout("late"),
        OnesocketError("other"),
    ],
)
def test_an_error_comes_back_as_it_was(error: OnesocketError) -> None:
    again = ErrorRecord.of(error, str).error()
    assert type(again) is type(error)
    assert str(again) == str(error)
    for name in ("code", "reason", "status", "retryable", "retry_after"):
        assert getattr(again, name, None) == getattr(error, name, None)


def test_an_error_of_another_library_comes_back_as_the_base() -> None:
    class Foreign(OnesocketError):
        retryable = True

    again = ErrorRecord.of(Foreign("own"), str).error()
    assert (type(again), str(again), again.retryable) == (OnesocketError, "own", True)
    assert type(ErrorRecord(type="printable", text="x").error()) is OnesocketError


def test_a_replay_of_withheld_or_missing_messages_is_refused(tmp_path: Path) -> None:
    withheld = '{"kind":"received","t":1.0,"at":2.0,"client":1,"epoch":1,"size":3,"withheld":"login"}'
    path = write(tmp_path / "x.jsonl", HEADER, withheld)
    for replay in (MemoryReplay, FaultyServer.replay):
        with pytest.raises(InvalidRecording, match=r"^line 2: .* was withheld \(login\).*redact"):
            replay(path)
        with pytest.raises(InvalidRecording, match="has no connection"):
            replay(write(tmp_path / "y.jsonl", HEADER))
