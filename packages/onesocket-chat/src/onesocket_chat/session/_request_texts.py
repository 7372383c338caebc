"""Texts for people of what a server says to a request."""

from __future__ import annotations

from typing import Final

from onesocket import OnesocketError
from onesocket_discord.rest import RateLimited, RequestLost, RestError, RestTimeout, ServerTrouble

_SENTENCES: Final = {
    10003: "this channel is gone, or you can't see it any more",
    10004: "this guild is gone, or you are not in it any more",
    10006: "this invite is not valid, or has expired: ask for another one",
    10007: "this person is not in the guild any more",
    10008: "this message is not there any more",
    10013: "this person is not there any more",
    10014: "this emoji is unknown here: give one of Unicode's",
    40007: "you are banned from this guild",
    50001: "you can't see this any more: you were removed, or lost the permission",
    50007: "this person takes no messages from you",
    50013: "you don't have the permission",
}
"""By Discord's own code."""


def request_error_text(error: OnesocketError) -> str:
    """The error in a sentence, without HTTP; that of the error itself if there is none for it."""
    match error:
        case RateLimited():
            return f"too many requests: wait {max(1.0, error.retry_after or 1.0):.0f} s"
        case ServerTrouble():
            return f"the server has an error of its own (HTTP {error.status}): try again later"
        case RestError() if error.code in _SENTENCES:
            return _SENTENCES[error.code]
        case RestError() if error.problems:
            return "; ".join(error.problems)
        case RequestLost():
            return "the connection to the server was lost before it answered"
        case RestTimeout():
            return "the server did not answer in time"
        case _:
            return str(error)
