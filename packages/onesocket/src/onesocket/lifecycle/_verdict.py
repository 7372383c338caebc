"""Verdicts: the consequence of a failure for the next attempt."""

from __future__ import annotations

import enum

from ..errors import OnesocketError, ServerBusy


class Verdict(enum.StrEnum):
    """The consequence of a failure for a connection that is to be resumed, or a first connect that is retried."""

    RETRY = "retry"
    """The next attempt follows by the back-off."""
    SLOW = "slow"
    """The other side has no place now: the next attempt waits for `busy_delay`, or for the date that it named."""
    NEW_TOKEN = "new token"  # noqa: S105 - no token
    """The token was refused: its source is told, and one fresh token is tried; as `retryable` says without a source."""
    FAIL = "fail"
    """The same attempt would fail again until something is changed."""


def verdict_of(error: OnesocketError, *, renews_token: bool = False) -> Verdict:
    """The usual verdict on this failure; `renews_token`: a source gives the tokens, so that a fresh one may come."""
    if renews_token and error.refuses_token:
        return Verdict.NEW_TOKEN
    if not error.retryable:
        return Verdict.FAIL
    return Verdict.SLOW if isinstance(error, ServerBusy) else Verdict.RETRY
