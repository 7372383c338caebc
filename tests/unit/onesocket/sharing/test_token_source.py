"""The token of a shared connection: the order of its sources, and the use of their answers."""

import asyncio
from typing import Any

import pytest

from onesocket.client._identity_token import Superseded
from onesocket.errors import SessionExpired, TokenFailed
from onesocket.sharing._loop_inbox import inbox_of
from onesocket.sharing._member_tokens import MemberTokens
from tests.unit.virtual_time import on_virtual_time, settle


class FakeTokenMember:
    """A member of the test."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0
        self.loop_inbox = inbox_of(asyncio.get_running_loop())

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


def token_order(*answers: Any) -> tuple[MemberTokens, list[FakeTokenMember]]:
    """From the oldest to the newest."""
    tokens, givers = MemberTokens(), [FakeTokenMember(answer) for answer in answers]
    for giver in givers:
        tokens.add(giver)
    return tokens, givers


@on_virtual_time
async def test_the_newest_is_asked_and_its_answer_is_enough() -> None:
    tokens, (old, new) = token_order("old", "new")
    assert await tokens.ask() == "new"
    assert (old.asked, new.asked) == (0, 1)
    tokens.add(old)
    assert await tokens.ask() == "old", "the provider that asks for the connection is asked first"
    tokens.discard(old)
    assert await tokens.ask() == "new"


@on_virtual_time
async def test_who_fails_is_passed_over() -> None:
    for bad in (ValueError("x"), 42, "", "a\nb", None, ..., asyncio.CancelledError()):
        tokens, _ = token_order("good", bad, bad)
        assert await tokens.ask() == "good"


@on_virtual_time
async def test_the_error_that_trying_again_may_help_against_is_raised() -> None:
    tokens, _ = token_order(SessionExpired("for good"), ConnectionError("for a moment"), SessionExpired("for good"))
    with pytest.raises(TokenFailed, match="raised ConnectionError"):
        await tokens.ask()


@on_virtual_time
async def test_without_a_token_there_is_none_only_if_somebody_says_so() -> None:
    tokens, _ = token_order(None, ...)
    assert await tokens.ask() is None
    tokens, _ = token_order(..., ...)
    with pytest.raises(TokenFailed, match="no client"):
        await tokens.ask()
    tokens, _ = token_order(None, ValueError("x"))
    with pytest.raises(TokenFailed, match="raised ValueError"):
        await tokens.ask()


@on_virtual_time
async def test_who_does_not_answer_is_asked_last_the_next_time() -> None:
    loop = asyncio.get_running_loop()
    tokens, (good, *slow) = token_order("good", 100.0, 100.0)
    began = loop.time()
    assert await tokens.ask() == "good"
    assert loop.time() - began == pytest.approx(2.0)
    began = loop.time()
    assert await tokens.ask() == "good"
    assert loop.time() == began
    assert [giver.asked for giver in (good, *slow)] == [2, 1, 1]


@on_virtual_time
async def test_an_attempt_that_ends_before_patience_does_learns_the_same() -> None:
    tokens, _ = token_order("good", 100.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tokens.ask(), 0.5)
    assert await asyncio.wait_for(tokens.ask(), 0.5) == "good"


@on_virtual_time
async def test_a_late_answer_counts_while_others_are_asked() -> None:
    tokens, _ = token_order(100.0, 1.5)
    assert await tokens.ask() == "late"
    assert asyncio.get_running_loop().time() == pytest.approx(1.5)
    await settle()


@on_virtual_time
async def test_when_all_are_leaving_the_question_waits_for_somebody_new() -> None:
    tokens, (leaver,) = token_order(Superseded())
    question = asyncio.create_task(tokens.ask())
    await asyncio.sleep(50)
    assert not question.done()
    assert leaver.asked == 1
    tokens.add(FakeTokenMember("new"))
    assert await question == "new"
    tokens, _ = token_order("good", Superseded())
    assert await tokens.ask() == "good"
