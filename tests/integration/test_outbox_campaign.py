"""A program with a durable outbox is killed at every step, while a server that isn't ours counts."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.campaigns.outbox.steps import FOR_EACH_MESSAGE, NEED_ACKNOWLEDGEMENTS, Step
from tests.campaigns.outbox.story import Story

MESSAGES = 8


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_a_program_that_is_killed_at_every_step_loses_nothing_and_doubles_only_what_it_was_told(
    tmp_path: Path, acknowledges: bool
) -> None:
    steps = [(step, 6 if step in FOR_EACH_MESSAGE else 1) for step in Step]
    async with Story(tmp_path / "outbox.db", acknowledges=acknowledges) as story:
        for step, occurrence in steps:
            if acknowledges or step not in NEED_ACKNOWLEDGEMENTS:
                status = await story.run(MESSAGES, step=step, occurrence=occurrence)
                assert status == -signal.SIGKILL, f"never came to the step {step} for the {occurrence}. time"
        assert await story.run(0) == 0
        assert story.ledger.check(acknowledges=acknowledges) == []
        assert len(story.ledger.accepted) > 30
        assert story.ledger.doubled > 0


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_random_kills_losses_and_restarts_of_the_server(tmp_path: Path, acknowledges: bool) -> None:
    async with Story(tmp_path / "outbox.db", acknowledges=acknowledges, seed=14, loses=True) as story:
        for _ in range(6):
            await story.run_and_kill_at_random(20)
        assert await story.run(5) == 0
        assert story.ledger.check(acknowledges=acknowledges) == []
        assert story.ledger.accepted
