"""Failures of requests, in sentences."""

import pytest

from onesocket.errors import InvalidOption, OnesocketError
from onesocket.notices import Notices
from onesocket_chat.session._request_errors import RequestErrors
from onesocket_chat.session._request_texts import request_error_text
from onesocket_discord.rest import (
    BadAnswer,
    Forbidden,
    NotFound,
    RateLimited,
    RequestLost,
    RestError,
    ServerTrouble,
    TooManyWaiting,
)
from onesocket_discord.rest._errors import response_error


def test_a_refusal_of_the_api_is_quoted_nowhere() -> None:
    answer = {"message": "Cannot send messages to this user", "code": 50007}
    error = response_error("POST /users/@me/channels", 403, answer)
    assert "HTTP 403" in str(error)
    assert request_error_text(error) == "this person takes no messages from you"
    unknown = response_error("POST /users/@me/channels", 403, answer | {"code": 59999})
    assert "/users" not in request_error_text(unknown)
    assert "59999" not in request_error_text(unknown)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotFound("HTTP 404", status=404, code=10003), "this channel is gone, or you can't see it any more"),
        (Forbidden("HTTP 403", status=403, code=50013), "you don't have the permission"),
        (Forbidden("HTTP 403", status=403, code=50007), "this person takes no messages from you"),
        (
            RestError("HTTP 400", status=400, code=50035, problems=("name: long", "topic: long")),
            "name: long; topic: long",
        ),
        (RestError("PUT /x: HTTP 418, odd", status=418), "the server refused it (HTTP 418)"),
        (Forbidden("PUT /x: HTTP 403 (code 40333)", status=403, code=40333), "you may not do this here"),
        (NotFound("PUT /x: HTTP 404", status=404), "this is not there any more, or you can't see it"),
        (BadAnswer("PUT /x: no JSON", status=200), "the server's answer can't be read"),
        (
            RestError("HTTP 400", status=400, code=50035, problems=("name: Too long. (BASE_TYPE_BAD_LENGTH)",)),
            "name: Too long.",
        ),
        (TooManyWaiting("PUT /x waits"), "too many requests wait, or failed: try again later"),
        (RateLimited("HTTP 429", status=429, retry_after=2.6), "too many requests: wait 3 s"),
        (ServerTrouble("HTTP 502", status=502), "the server has an error of its own (HTTP 502): try again later"),
        (RequestLost("POST: gone", retryable=True), "the connection to the server was lost before it answered"),
        (InvalidOption("too long"), "too long"),
    ],
)
def test_a_failure_is_a_sentence(error: OnesocketError, text: str) -> None:
    assert request_error_text(error) == text
    notices = Notices()
    RequestErrors(notices).failed("send", error)
    assert [one.text for one in notices.active] == [text]
