"""Paths, the texts of refusals, and the rate limits in the headers of an answer."""

from typing import Any

import pytest

from onesocket.errors import InvalidOption
from onesocket_discord.rest._errors import (
    Forbidden,
    NotFound,
    ServerTrouble,
    Unauthorized,
    flatten_errors,
    response_error,
)
from onesocket_discord.rest._rate_limit_info import Response, read_rate_limit_info
from onesocket_discord.rest._route import checked_emoji, checked_snowflake, make_route, parse_invite_code
from onesocket_discord.rest._validation import checked_nonce, message_body


def test_a_route_is_filled_in_and_encoded() -> None:
    route = make_route("PUT", "/channels/{channel_id}/x/{emoji}/@me", {"channel_id": 5, "emoji": "👍"})
    assert route.path == "/channels/5/x/%F0%9F%91%8D/@me"
    assert str(route) == "PUT /channels/{channel_id}/x/{emoji}/@me"


@pytest.mark.parametrize(
    ("template", "parameters", "major"),
    [
        ("/channels/{channel_id}/messages/{message_id}", {"channel_id": 1, "message_id": 2}, "channels/1"),
        ("/guilds/{guild_id}", {"guild_id": 1}, "guilds/1"),
        ("/webhooks/{webhook_id}", {"webhook_id": 1}, "webhooks/1"),
        (
            "/webhooks/{webhook_id}/{token}/messages/{message_id}",
            {"webhook_id": 1, "token": "t", "message_id": 2},
            "webhooks/1/t",
        ),
        ("/users/@me/guilds/{guild_id}", {"guild_id": 1}, ""),
        ("/users/{user_id}", {"user_id": 1}, ""),
        ("/gateway", {}, ""),
    ],
)
def test_only_top_level_parameters_split_a_bucket(template: str, parameters: dict[str, object], major: str) -> None:
    assert make_route("GET", template, parameters).major == major


@pytest.mark.parametrize("value", ["..", ".", "a/b", "a\\b", "a\nb", "a\x00", "", "x" * 513, None, 1.5, "\ud800"])
def test_no_parameter_leads_elsewhere(value: Any) -> None:
    with pytest.raises(InvalidOption):
        make_route("GET", "/invites/{code}", {"code": value})


@pytest.mark.parametrize("value", ["a?b", "a#b", "%2e%2e", "a%2Fb", "a b", "a;b"])
def test_what_has_a_meaning_in_a_url_is_encoded(value: str) -> None:
    path = make_route("GET", "/invites/{code}", {"code": value}).path
    assert not set(path) & set("?# ;")
    assert "%2e" not in path
    assert "%2F" not in path


@pytest.mark.parametrize(
    "template",
    ["channels", "/channels/../x", "//evil.example/x", "/a?b=1", "/a/", "/{a", "/a b", "/a%2F", "/.", "/{a}{b}"],
)
def test_a_template_is_checked(template: str) -> None:
    with pytest.raises(InvalidOption):
        make_route("GET", template, {"a": "1", "b": "2"})


def test_missing_and_superfluous_parameters_are_named() -> None:
    with pytest.raises(InvalidOption, match="needs the parameter 'user_id'"):
        make_route("GET", "/users/{user_id}", {})
    with pytest.raises(InvalidOption, match="no place for other"):
        make_route("GET", "/gateway", {"other": 1})
    with pytest.raises(InvalidOption, match="method"):
        make_route("TRACE", "/gateway", {})


@pytest.mark.parametrize("value", ["1", 1, 2**64 - 1, "00012"])
def test_ids(value: int | str) -> None:
    assert checked_snowflake(value) == str(value)


@pytest.mark.parametrize("value", [-1, 2**64, "", "1 ", "١", "0x1", "1/..", True, None, 1.0, "9" * 5000, b"1"])
def test_what_is_no_id(value: Any) -> None:
    with pytest.raises(InvalidOption):
        checked_snowflake(value)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("👍", "👍"),
        ("1️⃣", "1️⃣"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),
        ("wave:12", "wave:12"),
        ("<:wave:12>", "wave:12"),
        ("<a:wave:12>", "wave:12"),
    ],
)
def test_emoji(given: str, sent: str) -> None:
    assert checked_emoji(given) == sent


@pytest.mark.parametrize(
    "value", ["", "..", "a", "1", "👍/..", "👍?x", "👍\n", "👍 ", "👍\x85", "👍" * 33, "wave:", ":1", "w a:1", "../x:1"]
)
def test_what_is_no_emoji(value: str) -> None:
    with pytest.raises(InvalidOption):
        checked_emoji(value)


def test_invites() -> None:
    assert parse_invite_code("https://discord.gg/AbC-1_2") == parse_invite_code("AbC-1_2") == "AbC-1_2"
    for wrong in ("", "..", "https://discord.gg/", "a?b", "é"):
        with pytest.raises(InvalidOption):
            parse_invite_code(wrong)


def test_a_message_is_checked_before_it_is_sent() -> None:
    assert message_body("x" * 2000, None, None) == {"content": "x" * 2000}
    assert message_body(None, [{"title": "t"}], None) == {"embeds": [{"title": "t"}]}
    assert message_body(None, [], None, editing=True) == {"embeds": []}
    for content, embeds in (("", None), (" \n\t", None), (None, None), (None, []), ("", [])):
        with pytest.raises(InvalidOption, match="empty"):
            message_body(content, embeds, None)
    with pytest.raises(InvalidOption, match="2001 characters"):
        message_body("x" * 2001, None, None)
    with pytest.raises(InvalidOption, match="11 embeds"):
        message_body("x", [{}] * 11, None)


def test_nonces() -> None:
    assert checked_nonce(12) == 12
    assert checked_nonce("abc") == "abc"
    made = [checked_nonce(None) for _ in range(50)]
    assert len(set(made)) == 50
    assert all(len(str(nonce)) <= 25 for nonce in made)
    for wrong in ("", "x" * 26, 10**25):
        with pytest.raises(InvalidOption):
            checked_nonce(wrong)


ERRORS = {
    "embeds": {"0": {"title": {"_errors": [{"code": "BASE_TYPE_REQUIRED", "message": "This field is required"}]}}},
    "_errors": [{"code": "X", "message": "All of it is wrong"}],
    "content": {"_errors": [{"message": "Too long"}, {"code": "Y", "message": "Too ugly"}]},
}


def test_nested_errors_become_readable() -> None:
    assert list(flatten_errors(ERRORS)) == [
        "embeds.0.title: This field is required (BASE_TYPE_REQUIRED)",
        "All of it is wrong (X)",
        "content: Too long",
        "content: Too ugly (Y)",
    ]
    error = response_error("POST /x", 400, {"code": 50035, "message": "Invalid Form Body", "errors": ERRORS})
    assert error.status == 400
    assert error.code == 50035
    assert str(error).startswith("POST /x: HTTP 400, Invalid Form Body (code 50035): embeds.0.title: This field is")
    assert not error.retryable


@pytest.mark.parametrize("errors", [None, "text", 5, [], {}, {"a": None}, {"a": {"_errors": "?"}}, {"_errors": [1]}])
def test_nested_errors_of_another_shape_are_left_out(errors: Any) -> None:
    assert list(flatten_errors(errors)) == []


def test_nested_errors_are_bounded() -> None:
    many = {str(number): {"_errors": [{"message": "x" * 10_000}]} for number in range(1000)}
    found = list(flatten_errors(many))
    assert len(found) == 10
    assert all(len(text) < 600 for text in found)


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (401, Unauthorized, "token_type"),
        (403, Forbidden, "permission"),
        (404, NotFound, "api_url"),
        (500, ServerTrouble, ""),
    ],
)
def test_each_refusal_has_its_type_and_its_remedy(status: int, kind: type[Exception], hint: str) -> None:
    error = response_error("GET /x", status, {"code": 50013 if status == 403 else 0, "message": "No"})
    assert type(error) is kind
    assert hint in str(error)


def test_text_from_elsewhere_is_harmless() -> None:
    error = response_error("GET /x", 502, "<html>\x1b[31m\r\n" + "x" * 10_000)
    assert str(error).isprintable()
    assert len(str(error)) < 600


@pytest.mark.parametrize("bad", ["nan", "inf", "-1", "", "soon", "1e999", "１"])
def test_headers_that_make_no_sense_are_as_if_not_there(bad: str) -> None:
    good = {
        "x-ratelimit-limit": "5",
        "x-ratelimit-remaining": "4",
        "x-ratelimit-reset-after": "1.5",
        "x-ratelimit-bucket": "b",
    }
    assert read_rate_limit_info(Response(200, good, b"")).quota is not None
    for name in ("x-ratelimit-limit", "x-ratelimit-remaining"):
        assert read_rate_limit_info(Response(200, {**good, name: bad}, b"")).quota is None
    if bad != "１":  # float() reads it, and means the same
        assert read_rate_limit_info(Response(200, {**good, "x-ratelimit-reset-after": bad}, b"")).quota is None


@pytest.mark.parametrize("value", ["0", "-5"])
def test_a_limit_of_nothing_is_no_limit(value: str) -> None:
    headers = {"x-ratelimit-limit": value, "x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "1"}
    assert read_rate_limit_info(Response(200, headers, b"")).quota is None


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"retry-after": "3"}, b'{"retry_after": 2.5}', 2.5),
        ({"retry-after": "3"}, b"{}", 3),
        ({}, b"[]", 60),
        ({}, b'{"message": "blocked"}', 60),
        ({}, b'{"retry_after": -5}', 1),
        ({"x-ratelimit-limit": "5", "x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "1.5"}, b"{}", 1.5),
        ({"retry-after": "1e300"}, b"{}", 86_400),
        ({"retry-after": "3"}, b'{"retry_after": true}', 3),
        ({"retry-after": "3"}, b"[" * 100_000, 3),
    ],
)
def test_how_long_a_429_lasts(headers: dict[str, str], body: bytes, wait: float) -> None:
    assert read_rate_limit_info(Response(429, headers, body)).closed_for == wait
