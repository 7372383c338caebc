"""The source of a client's tokens is told of refusals."""

import pytest

from onesocket.client._token_requests import TokenRequests, TokenUnchanged
from onesocket.errors import HandshakeRejected, OnesocketError
from tests.unit.virtual_time import on_virtual_time

REFUSAL = HandshakeRejected("who are you?", status=401, retryable=False)


@on_virtual_time
async def test_a_source_is_told_of_a_refused_token_and_of_no_refusal_without_one() -> None:
    told: list[tuple[str | None, OnesocketError | None]] = []
    answers: list[str | None] = [None, "one", "one", "two"]

    def source(previous: str | None, error: OnesocketError | None) -> str | None:
        told.append((previous, error))
        return answers.pop(0)

    tokens = TokenRequests(source)
    tokens.refused(REFUSAL)  # the verdict of a hook on an attempt that had no token yet
    assert await tokens.ask() is None
    tokens.refused(REFUSAL)
    assert await tokens.ask() == "one"
    tokens.refused(REFUSAL)
    tokens.wants_another = True
    with pytest.raises(TokenUnchanged):
        await tokens.ask()
    assert await tokens.ask() == "two"
    assert tokens.is_fresh
    assert told == [(None, None), (None, None), ("one", REFUSAL), ("one", REFUSAL)]
