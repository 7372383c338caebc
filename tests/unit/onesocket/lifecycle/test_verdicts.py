"""Close codes and HTTP statuses become errors that say what helps."""

from __future__ import annotations

import pytest

from onesocket.errors import ClosedByPeer, ConnectionReset, HandshakeRejected, ServerBusy
from onesocket.lifecycle._peer_errors import (
    CLOSE_CODES,
    CLOSE_RULES,
    STATUS_RULES,
    as_established,
    closed_by_peer,
    connection_reset,
    handshake_rejected,
    message_too_big,
    parse_retry_after,
)
from onesocket.lifecycle._verdict import Verdict, verdict_of

DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


@pytest.mark.parametrize("code", [*CLOSE_CODES, 999, 2000, 3000, 4999])
def test_the_verdict_on_every_close_code(code: int) -> None:
    wanted = {1008: Verdict.FAIL, 1010: Verdict.FAIL, 1013: Verdict.SLOW}.get(code, Verdict.RETRY)
    error = closed_by_peer(code)
    assert verdict_of(error) is wanted
    assert str(code) in str(error)


def test_a_close_tells_its_code_reason_and_meaning() -> None:
    error = closed_by_peer(1001, "restarting")
    assert isinstance(error, ClosedByPeer)
    assert (error.code, error.reason) == (1001, "restarting")
    assert str(error) == "the server closed the connection with 1001 (going away): restarting"
    assert "unassigned code" in str(closed_by_peer(1999))
    assert "unassigned code" in str(closed_by_peer(3999))
    assert "private code" in str(closed_by_peer(4000))


@pytest.mark.parametrize(("code", "name"), [(3000, "unauthorized"), (3003, "forbidden"), (3008, "timeout")])
def test_codes_that_iana_lists_for_libraries_have_their_names(code: int, name: str) -> None:
    assert str(closed_by_peer(code)) == f"the server closed the connection with {code} ({name})"


def test_no_control_character_of_a_reason_reaches_the_text() -> None:
    reason = "bye\x1b[2J\r\n\x9b31m\u202e\x00"
    error = closed_by_peer(4000, reason)
    assert isinstance(error, ClosedByPeer)
    assert error.reason == reason
    for text in (str(error), f"{error}", repr(error), str(as_established(closed_by_peer(1008, reason)))):
        assert text.isprintable()
    assert r"bye\u001b[2J\r\n\u009b31m\u202e\u0000" in str(error)


def test_a_protocols_own_list_decides_what_is_fatal() -> None:
    assert verdict_of(closed_by_peer(4004, fatal={4004})) is Verdict.FAIL
    assert verdict_of(closed_by_peer(1008, fatal={4004})) is Verdict.RETRY
    assert verdict_of(closed_by_peer(1013, fatal={1013})) is Verdict.FAIL


@pytest.mark.parametrize(
    "reason",
    [
        "Too many requests",
        "Rate-Limit reached",
        "connection limit exceeded",
        "slow down",
        "Busy",
        "message rate",
        "too_many_requests",
        "TOO-MANY-REQUESTS",
        "TooManyRequests",
        '{"code":"SLOW_DOWN"}',
    ],
)
def test_a_reason_that_speaks_of_a_limit_means_busy(reason: str) -> None:
    for code in (1008, 3008, 4029):
        assert verdict_of(closed_by_peer(code, reason)) is Verdict.SLOW
        assert verdict_of(closed_by_peer(code, reason, fatal={code})) is Verdict.FAIL
    assert verdict_of(closed_by_peer(1001, reason)) is Verdict.RETRY
    assert verdict_of(closed_by_peer(1010, reason)) is Verdict.FAIL


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("Maximum session duration exceeded", Verdict.RETRY),
        ("connection lifetime limit reached", Verdict.RETRY),
        ("Idle timeout", Verdict.RETRY),
        ("exceeded the limit\nof inactivity", Verdict.RETRY),
        ("too many messages in the duration, limit exceeded", Verdict.SLOW),
        ("rate limit exceeded: average age", Verdict.SLOW),
        ("token lifetime limit exceeded", Verdict.SLOW),
        ("page limit exceeded", Verdict.SLOW),
    ],
)
def test_a_connection_that_has_had_its_time_is_followed_by_the_next_at_once(reason: str, wanted: Verdict) -> None:
    for code in (1008, 3008, 4029):
        assert verdict_of(closed_by_peer(code, reason)) is wanted


def test_what_a_1008_means_once_the_connection_was_up() -> None:
    for reason in ("", "who are you?", "token expired"):
        refused = closed_by_peer(1008, reason)
        assert verdict_of(refused) is Verdict.FAIL
        assert verdict_of(as_established(refused)) is Verdict.SLOW
        assert str(as_established(refused)) == str(refused)
    for error in (closed_by_peer(1008, fatal={1008}), closed_by_peer(1010), closed_by_peer(1001), connection_reset()):
        assert as_established(error) is error


def test_a_connection_that_ended_without_a_close_frame_may_come_back() -> None:
    assert isinstance(connection_reset(), ConnectionReset)
    assert verdict_of(connection_reset()) is Verdict.RETRY
    assert str(connection_reset("RST")).endswith("(RST)")


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (200, Verdict.FAIL),
        (301, Verdict.FAIL),
        (400, Verdict.FAIL),
        (401, Verdict.FAIL),
        (403, Verdict.FAIL),
        (404, Verdict.FAIL),
        (408, Verdict.RETRY),
        (418, Verdict.FAIL),
        (425, Verdict.RETRY),
        (426, Verdict.FAIL),
        (429, Verdict.SLOW),
        (500, Verdict.RETRY),
        (502, Verdict.RETRY),
        (503, Verdict.RETRY),
        (504, Verdict.RETRY),
        (599, Verdict.RETRY),
    ],
)
def test_the_verdict_on_every_kind_of_http_status(status: int, wanted: Verdict) -> None:
    error = handshake_rejected(status, {})
    assert verdict_of(error) is wanted
    assert f"HTTP {status}" in str(error)
    assert error.retry_after is None


def test_a_refusal_tells_status_excerpt_remedy_and_date() -> None:
    error = handshake_rejected(503, {"retry-after": "3"}, "no room")
    assert isinstance(error, HandshakeRejected)
    assert (error.status, error.retry_after) == (503, 3)
    for part in ("503 Service Unavailable", "no room", "try again in 3 s"):
        assert part in str(error)
    error = handshake_rejected(401, {"retry-after": "3"}, "no token")
    assert isinstance(error, HandshakeRejected)
    assert (error.status, error.retry_after) == (401, 3)
    for part in ("401 Unauthorized", "no token", "check the token"):
        assert part in str(error)
    assert "try again" not in str(error), "another attempt can't help"
    assert "redirects are not followed" in str(handshake_rejected(302, {}))
    assert " and the target wss://elsewhere.example/" in str(
        handshake_rejected(302, {}, location="wss://elsewhere.example/")
    )
    assert "a cache has answered" in str(handshake_rejected(304, {}))


@pytest.mark.parametrize(
    ("location", "remedy"),
    [
        ("https://elsewhere.example/", "use that address with wss:// instead of https://"),
        ("HTTP://elsewhere.example/", "use that address with ws:// instead of http://"),
        ("wss://elsewhere.example/", "use the address it points to"),
    ],
)
def test_the_target_of_a_redirect_is_told_in_a_form_that_a_client_takes(location: str, remedy: str) -> None:
    assert str(handshake_rejected(308, {}, location=location)).endswith(remedy)


@pytest.mark.parametrize("status", [426, 501, 505])
def test_a_server_that_a_proxy_sent_no_upgrade_is_told_with_the_headers_to_pass_on(status: int) -> None:
    error = handshake_rejected(status, {})
    assert str(error).endswith("check that proxies pass on HTTP/1.1 and the headers Upgrade and Connection")
    assert error.retryable is (status >= 500)


def test_too_many_requests_is_busy_until_the_named_date() -> None:
    error = handshake_rejected(429, {"retry-after": "Mon, 01 Jan 2024 00:01:00 GMT", "date": DATE})
    assert isinstance(error, ServerBusy)
    assert error.retry_after == 60


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("999999999", 999_999_999.0),
        ("9999999999", 2.0**31),
        ("9" * 5000, 2.0**31),
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


def test_every_row_of_the_tables_counts() -> None:
    texts = ("", "connection limit exceeded", "invalid token", "max clients", "maximum session duration exceeded")
    for rules in (CLOSE_RULES, STATUS_RULES):
        first = {
            next(rule for rule in rules if rule.matches(code, text)) for code in range(100, 5000) for text in texts
        }
        assert first == set(rules)


@pytest.mark.parametrize(
    ("code", "reason", "wanted"),
    [
        (3000, "", Verdict.NEW_TOKEN),
        (3003, "", Verdict.NEW_TOKEN),
        (4401, "Unauthorized", Verdict.NEW_TOKEN),
        (4001, "jwt expired", Verdict.NEW_TOKEN),
        (1008, "Invalid API key", Verdict.NEW_TOKEN),
        (1008, "invalid_api_key", Verdict.NEW_TOKEN),
        (4001, "TokenExpired", Verdict.NEW_TOKEN),
        (4003, "NOT_AUTHENTICATED", Verdict.NEW_TOKEN),
        (4403, "Forbidden", Verdict.NEW_TOKEN),
        (4401, "UnAuthorized", Verdict.NEW_TOKEN),
        (1008, "token rate limit exceeded", Verdict.SLOW),
        (4001, "", Verdict.RETRY),
        (1001, "token expired", Verdict.RETRY),
    ],
)
def test_closes_that_refuse_the_token(code: int, reason: str, wanted: Verdict) -> None:
    error = closed_by_peer(code, reason)
    assert verdict_of(error, renews_token=True) is wanted
    assert verdict_of(error) is not Verdict.NEW_TOKEN
    if isinstance(error, ServerBusy):
        assert (error.code, error.reason) == (code, reason)
    assert not closed_by_peer(code, reason, fatal={code}).refuses_token


def test_statuses_that_refuse_the_token() -> None:
    for status in (401, 403):
        assert verdict_of(handshake_rejected(status, {}), renews_token=True) is Verdict.NEW_TOKEN
    assert verdict_of(handshake_rejected(404, {}), renews_token=True) is Verdict.FAIL
    busy = handshake_rejected(429, {"retry-after": "3"})
    assert isinstance(busy, ServerBusy)
    assert (busy.status, busy.retry_after) == (429, 3)


def test_a_message_over_the_limit_names_the_option() -> None:
    error = message_too_big("a message has more than 10 bytes")
    assert (
        str(error) == "a message has more than 10 bytes; raise max_size= if the server is meant to send such messages"
    )
    assert verdict_of(error) is Verdict.RETRY
