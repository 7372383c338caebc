"""The lines of the request log, and a log that nobody reads."""

import io
import json
import threading

import pytest

from onesocket_discord.server import RequestRecord
from onesocket_discord.server._request_log import LogFormat, RequestLog, json_line, text_line
from onesocket_discord.server._requests import known_method

RECORD = RequestRecord(
    address="203.0.113.5",
    scheme="https",
    method="POST",
    route="/channels/{channel_id}/messages",
    path="/channels/42/messages",
    status=200,
    size=512,
    seconds=0.0123,
    account=7,
)
NOW = 1.8e9 + 0.25


def test_a_line_of_text() -> None:
    shown = "2027-01-15T08:00:00.250Z 203.0.113.5 7 POST /channels/42/messages 200 512B 12.3ms"
    assert text_line(RECORD, NOW) == shown
    nobody = RequestRecord(address="", method="GET", route="(unknown)", path="(unknown)", status=404)
    assert text_line(nobody, NOW) == "2027-01-15T08:00:00.250Z - - GET (unknown) 404 0B 0.0ms"


def test_a_line_of_json() -> None:
    assert json.loads(json_line(RECORD, NOW)) == {
        "time": "2027-01-15T08:00:00.250Z",
        "address": "203.0.113.5",
        "scheme": "https",
        "account": "7",
        "method": "POST",
        "route": "/channels/{channel_id}/messages",
        "path": "/channels/42/messages",
        "status": 200,
        "bytes": 512,
        "seconds": 0.0123,
    }


def test_a_method_that_a_client_has_made_up_is_not_repeated() -> None:
    assert [known_method(name) for name in ("GET", "get", "MAKEUP")] == ["GET", "OTHER", "OTHER"]


@pytest.mark.parametrize("form", list(LogFormat))
def test_what_was_logged_is_written_at_the_end(form: LogFormat) -> None:
    stream = io.StringIO()
    with RequestLog(stream, form, lambda: NOW) as log:
        log(RECORD)
        log(RECORD)
    line = (text_line if form is LogFormat.TEXT else json_line)(RECORD, NOW)
    assert stream.getvalue() == f"{line}\n{line}\n"


class Stuck(io.StringIO):
    """A stream that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.go_on.wait()
        return super().write(text)


@pytest.mark.parametrize("form", list(LogFormat))
def test_a_log_that_is_not_read_holds_nobody_up(form: LogFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onesocket_discord.server._request_log._MAX_WAITING", 3)
    stream = Stuck()
    with RequestLog(stream, form, lambda: NOW) as log:
        log(RECORD)
        assert stream.reached.wait(10)
        for _ in range(8):
            log(RECORD)
        assert log.dropped == 5
        stream.go_on.set()
        while log._waiting.qsize():  # until the thread has taken the rest
            stream.reached.clear()
            stream.reached.wait(0.01)
        log(RECORD)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1 + 3 + 2
    missing = lines[4]
    if form is LogFormat.JSON:
        assert json.loads(missing)["dropped"] == 5
    assert "5 requests are missing here" in missing


def test_a_reader_that_has_gone_is_no_failure() -> None:
    stream = io.StringIO()
    with RequestLog(stream, LogFormat.TEXT) as log:
        stream.close()
        log(RECORD)
    assert not log._thread.is_alive()
