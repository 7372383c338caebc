"""Close codes and HTTP statuses become errors that say what helps."""

from __future__ import annotations

import pytest

from onesocket.errors import ClosedByPeer, ConnectionLost, UpgradeRefused, UpstreamBusy
from onesocket.lifecycle.retry import Verdict, verdict
from onesocket.lifecycle.verdicts import (
    CLOSE_CODES,
    closed_by_peer,
    line_lost,
    once_up,
    parse_retry_after,
    upgrade_refused,
)

DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


@pytest.mark.parametrize("code", [*CLOSE_CODES, 999, 2000, 3000, 4999])
def test_the_verdict_on_every_close_code(code: int) -> None:
    wanted = {1008: Verdict.FATAL, 1010: Verdict.FATAL, 1013: Verdict.BUSY}.get(code, Verdict.RETRY)
    error = closed_by_peer(code)
    assert verdict(error) is wanted
    assert str(code) in str(error)


def test_a_close_tells_its_code_reason_and_meaning() -> None:
    error = closed_by_peer(1001, "restarting")
    assert isinstance(error, ClosedByPeer)
    assert (error.code, error.reason) == (1001, "restarting")
    assert str(error) == "the server closed the line with 1001 (going away): restarting"
    assert "unassigned code" in str(closed_by_peer(1999))
    assert "private code" in str(closed_by_peer(4000))


def test_a_protocols_own_list_decides_what_is_fatal() -> None:
    assert verdict(closed_by_peer(4004, fatal={4004})) is Verdict.FATAL
    assert verdict(closed_by_peer(1008, fatal={4004})) is Verdict.RETRY
    assert verdict(closed_by_peer(1013, fatal={1013})) is Verdict.FATAL


@pytest.mark.parametrize(
    "reason",
    ["Too many requests", "Rate-Limit reached", "connection limit exceeded", "slow down", "Busy", "message rate"],
)
def test_a_reason_that_speaks_of_a_limit_means_busy(reason: str) -> None:
    for code in (1008, 3008, 4029):
        assert verdict(closed_by_peer(code, reason)) is Verdict.BUSY
        assert verdict(closed_by_peer(code, reason, fatal={code})) is Verdict.FATAL
    assert verdict(closed_by_peer(1001, reason)) is Verdict.RETRY
    assert verdict(closed_by_peer(1010, reason)) is Verdict.FATAL


def test_what_a_1008_means_once_the_connection_was_up() -> None:
    for reason in ("", "token expired"):
        refused = closed_by_peer(1008, reason)
        assert verdict(refused) is Verdict.FATAL
        assert verdict(once_up(refused)) is Verdict.BUSY
        assert str(once_up(refused)) == str(refused)
    for error in (closed_by_peer(1008, fatal={1008}), closed_by_peer(1010), closed_by_peer(1001), line_lost()):
        assert once_up(error) is error


def test_a_line_that_ended_without_a_close_frame_may_come_back() -> None:
    assert isinstance(line_lost(), ConnectionLost)
    assert verdict(line_lost()) is Verdict.RETRY
    assert str(line_lost("RST")).endswith("(RST)")


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (200, Verdict.FATAL),
        (301, Verdict.FATAL),
        (400, Verdict.FATAL),
        (401, Verdict.FATAL),
        (403, Verdict.FATAL),
        (404, Verdict.FATAL),
        (408, Verdict.RETRY),
        (418, Verdict.FATAL),
        (425, Verdict.RETRY),
        (426, Verdict.FATAL),
        (429, Verdict.BUSY),
        (500, Verdict.RETRY),
        (502, Verdict.RETRY),
        (503, Verdict.RETRY),
        (504, Verdict.RETRY),
        (599, Verdict.RETRY),
    ],
)
def test_the_verdict_on_every_kind_of_http_status(status: int, wanted: Verdict) -> None:
    error = upgrade_refused(status, {})
    assert verdict(error) is wanted
    assert f"HTTP {status}" in str(error)
    assert error.retry_after is None


def test_a_refusal_tells_status_excerpt_remedy_and_date() -> None:
    error = upgrade_refused(401, {"retry-after": "3"}, "no token")
    assert isinstance(error, UpgradeRefused)
    assert (error.status, error.retry_after) == (401, 3)
    for part in ("401 Unauthorized", "no token", "check the token", "try again in 3 s"):
        assert part in str(error)
    assert "redirects are not followed" in str(upgrade_refused(302, {}))


def test_too_many_requests_is_busy_until_the_named_date() -> None:
    error = upgrade_refused(429, {"retry-after": "Mon, 01 Jan 2024 00:01:00 GMT", "date": DATE})
    assert isinstance(error, UpstreamBusy)
    assert error.retry_after == 60


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("999999999", 999_999_999.0),
        ("9999999999", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("", None),
        ("soon", None),
        ("Mon, 01 Jan 2024 00:02:00 GMT", 120.0),
        ("Monday, 01-Jan-24 00:02:00 GMT", 120.0),
        ("Mon, 01 Jan 2024 01:02:00 +0100", 120.0),
        ("Sun, 31 Dec 2023 23:59:00 GMT", 0.0),
        ("Mon, 01 Jan 2024 00:02:00 -0000", None),
        ("Mon, 99 Jan 2024 00:02:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after_in_seconds_as_a_date_and_as_garbage(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, DATE) == seconds


def test_a_date_is_read_against_the_servers_own_clock_and_means_nothing_without_it() -> None:
    assert parse_retry_after("Mon, 01 Jan 2024 00:02:00 GMT") is None
    assert parse_retry_after("Mon, 01 Jan 2024 00:02:00 GMT", "yesterday") is None
