"""Who is asked for the token of a shared connection, and what becomes of the answers."""

import asyncio
from typing import Any

import pytest

from onesocket import SessionExpired, TokenFailed
from onesocket.provider.joint import Superseded
from onesocket.sharing.mailbox import mailbox_of
from onesocket.sharing.tokens import Tokens
from tests.unit.virtual import settle, virtual


class Giver:
    """A member of the test."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0
        self.mailbox = mailbox_of(asyncio.get_running_loop())

    @property
    def token_source(self) -> Any:
        return None if self.answer is ... else self._give

    async def _give(self) -> Any:
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        if isinstance(self.answer, float):
            await asyncio.sleep(self.answer)
            return "late"
        return self.answer


def of(*answers: Any) -> tuple[Tokens, list[Giver]]:
    """From the oldest to the newest."""
    tokens, givers = Tokens(), [Giver(answer) for answer in answers]
    for giver in givers:
        tokens.add(giver)
    return tokens, givers


@virtual
async def test_the_newest_is_asked_and_its_answer_is_enough() -> None:
    tokens, (old, new) = of("old", "new")
    assert await tokens.ask() == "new"
    assert (old.asked, new.asked) == (0, 1)
    tokens.add(old)
    assert await tokens.ask() == "old", "who asks for the line is asked first"
    tokens.discard(old)
    assert await tokens.ask() == "new"


@virtual
async def test_who_fails_is_passed_over() -> None:
    for bad in (ValueError("x"), 42, "", "a\nb", None, ..., asyncio.CancelledError()):
        tokens, _ = of("good", bad, bad)
        assert await tokens.ask() == "good"


@virtual
async def test_the_error_that_trying_again_may_help_against_is_raised() -> None:
    tokens, _ = of(SessionExpired("for good"), ConnectionError("for a moment"), SessionExpired("for good"))
    with pytest.raises(TokenFailed, match="raised ConnectionError"):
        await tokens.ask()


@virtual
async def test_without_a_token_there_is_none_only_if_somebody_says_so() -> None:
    tokens, _ = of(None, ...)
    assert await tokens.ask() is None
    tokens, _ = of(..., ...)
    with pytest.raises(TokenFailed, match="nobody"):
        await tokens.ask()
    tokens, _ = of(None, ValueError("x"))
    with pytest.raises(TokenFailed, match="raised ValueError"):
        await tokens.ask()


@virtual
async def test_who_does_not_answer_is_asked_last_the_next_time() -> None:
    loop = asyncio.get_running_loop()
    tokens, (good, *slow) = of("good", 100.0, 100.0)
    began = loop.time()
    assert await tokens.ask() == "good"
    assert loop.time() - began == pytest.approx(2.0)
    began = loop.time()
    assert await tokens.ask() == "good"
    assert loop.time() == began
    assert [giver.asked for giver in (good, *slow)] == [2, 1, 1]


@virtual
async def test_an_attempt_that_ends_before_patience_does_learns_the_same() -> None:
    tokens, _ = of("good", 100.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tokens.ask(), 0.5)
    assert await asyncio.wait_for(tokens.ask(), 0.5) == "good"


@virtual
async def test_a_late_answer_counts_while_others_are_asked() -> None:
    tokens, _ = of(100.0, 1.5)
    assert await tokens.ask() == "late"
    assert asyncio.get_running_loop().time() == pytest.approx(1.5)
    await settle()


@virtual
async def test_when_all_are_leaving_the_question_waits_for_somebody_new() -> None:
    tokens, (leaver,) = of(Superseded())
    question = asyncio.create_task(tokens.ask())
    await asyncio.sleep(50)
    assert not question.done()
    assert leaver.asked == 1
    tokens.add(Giver("new"))
    assert await question == "new"
    tokens, _ = of("good", Superseded())
    assert await tokens.ask() == "good"
