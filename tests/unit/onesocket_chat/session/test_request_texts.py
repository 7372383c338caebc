"""Failures of requests, in sentences."""

import pytest

from onesocket.errors import InvalidOption, OnesocketError
from onesocket.notices import Notices
from onesocket_chat.session._request_errors import RequestErrors
from onesocket_chat.session._request_texts import request_error_text
from onesocket_discord.rest import Forbidden, NotFound, RateLimited, RequestLost, RestError, ServerTrouble


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
        (RestError("HTTP 418, odd", status=418), "HTTP 418, odd"),
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
