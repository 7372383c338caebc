"""Texts for people of what a server says to a request."""

from __future__ import annotations

import re
from typing import Final

from onesocket import OnesocketError
from onesocket_discord.rest import (
    BadAnswer,
    Forbidden,
    InvalidBudgetSpent,
    NotFound,
    RateLimited,
    RequestLost,
    RestError,
    RestTimeout,
    ServerTrouble,
    TooManyWaiting,
)

_SENTENCES: Final = {
    10003: "this channel is gone, or you can't see it any more",
    10004: "this server is gone, or you are not in it any more",
    10006: "this invite is not valid, or has expired: ask for another one",
    10007: "this person is not in the server any more",
    10008: "this message is not there any more",
    10013: "this person is not there any more",
    10014: "this emoji is unknown here: give one of Unicode's",
    30013: "this server has as many channels as it may have",
    40005: "this is larger than the server takes",
    40007: "you are banned from this server",
    50001: "you can't see this any more: you were removed, or lost the permission",
    50003: "this can't be done in a conversation",
    50005: "only its author can change a message",
    50006: "a message can't be empty",
    50007: "this person takes no messages from you",
    50013: "you don't have the permission",
}
"""By Discord's own code."""
_PROBLEM_CODE: Final = re.compile(r" \([A-Z][A-Z0-9_]*\)$")
"""The code that the API appends to the sentence about a field."""


def request_error_text(error: OnesocketError) -> str:
    """The error in a sentence, without the API's words for it."""
    match error:
        case RateLimited():
            return f"too many requests: wait {max(1.0, error.retry_after or 1.0):.0f} s"
        case ServerTrouble():
            return f"the server has an error of its own (HTTP {error.status}): try again later"
        case RestError() if error.code in _SENTENCES:
            return _SENTENCES[error.code]
        case RestError() if error.problems:
            return "; ".join(_PROBLEM_CODE.sub("", one) for one in error.problems)
        case Forbidden():
            return "you may not do this here"
        case NotFound():
            return "this is not there any more, or you can't see it"
        case BadAnswer():
            return "the server's answer can't be read"
        case RestError():
            return f"the server refused it (HTTP {error.status})"
        case TooManyWaiting() | InvalidBudgetSpent():
            return "too many requests wait, or failed: try again later"
        case RequestLost():
            return "the connection to the server was lost before it answered"
        case RestTimeout():
            return "the server did not answer in time"
        case _:
            return str(error)
