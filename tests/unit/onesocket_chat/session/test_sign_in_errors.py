"""Sentences for refused sign-ins and registrations."""

import pytest

from onesocket.errors import ConnectionReset
from onesocket_chat.session._sign_in_errors import needs_invite, sign_in_error_text
from onesocket_discord.rest import BadAnswer, NotFound, RateLimited, RestError


def refused(*problems: str, status: int = 400, code: int = 50035) -> RestError:
    return RestError("POST /auth/register: HTTP 400", status=status, code=code, problems=problems)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (refused("invite: This server takes … (INVITE_REQUIRED)"), "by invite only"),
        (refused("username: Try another one. (USERNAME_LOOKS_TAKEN)"), "looks like that of somebody else"),
        (refused("password: Must be between 8 and 256 in length. (SOMETHING_NEW)"), "The password: Must be between"),
        (refused("username: Must be between 2 and 32 in length. (SOMETHING_NEW)"), "The name: Must be between"),
        (refused(code=40006, status=403), "takes no new accounts"),
        (refused("(not a field)"), "The server refused it (HTTP 400)."),
        (refused(), "The server refused it (HTTP 400)."),
        (NotFound("POST /auth/login: HTTP 404", status=404), "no chat server at this address"),
        (BadAnswer("POST /auth/login: HTTP 200, but no JSON", status=200), "no chat server at this address"),
        (RateLimited("POST /auth/login: HTTP 429", status=429, retry_after=5), "too many requests: wait 5 s"),
        (ConnectionReset("the server is gone"), "the server is gone"),
    ],
)
def test_sentences(error: RestError, text: str) -> None:
    assert text in sign_in_error_text(error)
    assert "/auth" not in sign_in_error_text(error)
    assert needs_invite(error) is ("by invite" in text)
