"""The errors of a call to Discord's HTTP API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onesocket.errors import Abandoned, ConnectionFailure, PeerError

_MAX_TEXT_LENGTH = 500
_MAX_PROBLEMS = 10

# Remedies by Discord's own code, and by status.
_REMEDIES_BY_CODE = {
    50001: "this account can't see it: invite it to the guild, or let its role view the channel",
    50013: "give this account's role the permission that this needs",
    50007: "this user accepts no direct messages from this account",
    10003: "is the channel id right, and can this account see it?",
    10008: "the message was deleted, or is in another channel",
}
_REMEDIES = {
    401: (
        "the token is wrong, was reset, or is of another kind: copy it anew from the developer portal, "
        "and check token_type (bots: 'Bot', people: None)"
    ),
    404: "are the ids right, and does api_url name the API's version (…/api/v10)?",
}


class RestError(PeerError):
    """The API answered with an error.

    `status`: HTTP; `code`: Discord's own, 0 if it gave none; `problems`: one text per invalid field.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int,
        code: int = 0,
        problems: tuple[str, ...] = (),
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.problems = problems
        self.retryable = retryable
        self.retry_after = retry_after


class Unauthorized(RestError):
    """401: the API doesn't accept the token."""


class Forbidden(RestError):
    """403: the account may not do this."""


class NotFound(RestError):
    """404: the resource doesn't exist, or the account can't see it."""


class RateLimited(RestError):
    """429, and the call's timeout ends before the API accepts it, `retry_after` seconds from now."""


class ServerTrouble(RestError):
    """5xx. Retryable for idempotent calls; others may have been done."""


class BadAnswer(RestError):
    """The answer is no JSON, not of the expected kind, or too large; the call may have been done."""


class RequestLost(ConnectionFailure):
    """The connection broke, or nothing was answered, after the request was sent.

    The call may have been done; `retryable` for idempotent calls.
    """

    def __init__(self, text: str, *, retryable: bool) -> None:
        super().__init__(text)
        self.retryable = retryable


class RestTimeout(Abandoned, TimeoutError):
    """The call's `timeout` passed. `sent`: true if it was in flight, so that it may have been done."""

    def __init__(self, text: str, *, sent: bool, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.sent = sent
        self.retryable = retryable
        self.retry_after = retry_after


class TooManyWaiting(Abandoned):
    """As many calls wait for their turn as may; this one was not sent."""

    retryable = True


class InvalidBudgetSpent(Abandoned):
    """So many calls failed (401, 403, 429) that more could get this address banned; this one was not sent."""

    retryable = True

    def __init__(self, text: str, *, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


_BY_STATUS: dict[int, type[RestError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 429: RateLimited}


def response_error(
    what: str, status: int, body: object, *, retryable: bool = False, retry_after: float | None = None
) -> RestError:
    """The error for a status other than success; `body` is the decoded JSON, or the text that came instead."""
    code, message = 0, ""
    problems: tuple[str, ...] = ()
    if isinstance(body, dict):
        fields: dict[str, Any] = body  # pyright: ignore[reportUnknownVariableType] - JSON
        code = fields["code"] if isinstance(fields.get("code"), int) else 0
        message = printable(str(fields.get("message", "")))
        problems = tuple(flatten_errors(fields.get("errors")))
    elif isinstance(body, str):
        message = printable(body)
    text = f"{what}: HTTP {status}"
    if message:
        text += f", {message}"
    if code:
        text += f" (code {code})"
    if problems:
        text += ": " + "; ".join(problems)
    remedy = _REMEDIES_BY_CODE.get(code) or _REMEDIES.get(status)
    if remedy is not None:
        text += f" – {remedy}"
    kind = _BY_STATUS.get(status) or (ServerTrouble if status >= 500 else RestError)
    return kind(text, status=status, code=code, problems=problems, retryable=retryable, retry_after=retry_after)


def flatten_errors(errors: object) -> Iterator[str]:
    """Discord's nested `errors`, as ``embeds.0.title: Required (CODE)``; at most ten."""
    left = _MAX_PROBLEMS
    waiting: list[tuple[str, object]] = [("", errors)]
    while waiting and left:
        path, found = waiting.pop()
        if isinstance(found, dict):
            fields: dict[str, object] = found  # pyright: ignore[reportUnknownVariableType] - JSON
            for key, value in reversed(fields.items()):
                waiting.append((path if key == "_errors" else f"{path}.{key}" if path else key, value))
            if "message" in fields and not isinstance(fields["message"], dict | list):
                del waiting[len(waiting) - len(fields) :]
                code = f" ({fields['code']})" if "code" in fields else ""
                yield printable(f"{path}: {fields['message']}{code}" if path else f"{fields['message']}{code}")
                left -= 1
        elif isinstance(found, list):
            items: list[object] = found  # pyright: ignore[reportUnknownVariableType] - JSON
            waiting.extend((path, item) for item in reversed(items))


def printable(text: str) -> str:
    """Return the server's text on one line, cut to a readable length."""
    shown = "".join(character if character.isprintable() else " " for character in text[: _MAX_TEXT_LENGTH + 1]).strip()
    return shown if len(shown) <= _MAX_TEXT_LENGTH else shown[:_MAX_TEXT_LENGTH] + "…"
