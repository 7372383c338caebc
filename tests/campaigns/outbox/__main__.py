"""Kills a program with a durable outbox many times: `python -m tests.campaigns.outbox`.

It exits with 1 on a broken promise. Each story has a file and a server of its own. The program is killed at every step,
and then at random moments while the server resets connections and restarts; then one run goes to its end. With a seed,
the moments are about the same again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.campaigns.harness.director import run_command
from tests.campaigns.harness.report import aligned
from tests.campaigns.outbox.steps import FOR_EACH_MESSAGE, NEED_ACKNOWLEDGEMENTS, Step
from tests.campaigns.outbox.story import Ledger, Story

_HEAD = ("acknowledgements", "story", "kills", "losses", "accepted", "never arrived", "twice", "problems")
_MESSAGES = 30


async def _play(acknowledges: bool, seed: int, kills: int) -> tuple[Ledger, Ledger]:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        async with Story(Path(directory, "steps.db"), acknowledges=acknowledges) as story:
            for step in Step:
                if acknowledges or step not in NEED_ACKNOWLEDGEMENTS:
                    most = _MESSAGES if step in FOR_EACH_MESSAGE else 1
                    status = await story.run(_MESSAGES, step=step, occurrence=chance.randint(1, most))
                    if status != -signal.SIGKILL:
                        story.ledger.problems.append(f"never came to the step {step}")
            await _end(story)
        async with Story(Path(directory, "random.db"), acknowledges=acknowledges, seed=seed, loses=True) as other:
            for _ in range(kills):
                await other.run_and_kill_at_random(_MESSAGES)
            await _end(other)
    return story.ledger, other.ledger


async def _end(story: Story) -> None:
    status = await story.run(0)
    if status:
        story.ledger.problems.append(f"the last run ended with status {status}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the stories and print their results."""
    parser = argparse.ArgumentParser(prog="make outbox", description="Kill a program with a durable outbox.")
    parser.add_argument("--seeds", type=int, default=20, help="stories of each kind (default: 20)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--kills", type=int, default=20, help="random kills in each story (default: 20)")
    options = parser.parse_args(arguments)
    rows: list[tuple[str, ...]] = []
    problems: list[str] = []
    for acknowledges in (True, False):
        for seed in range(options.first, options.first + options.seeds):
            ledgers = asyncio.run(_play(acknowledges, seed, options.kills))
            for name, ledger in zip(("steps", "random"), ledgers, strict=True):
                found = ledger.check(acknowledges=acknowledges)
                replay = f"{name}, acknowledgements: {acknowledges}, --first {seed} --seeds 1"
                problems += [f"{replay}: {problem}" for problem in found]
                numbers = (ledger.kills, ledger.losses, len(ledger.accepted), len(ledger.missing), ledger.doubled)
                rows.append(("yes" if acknowledges else "no", f"{name} {seed}", *map(str, (*numbers, len(found)))))
    print(aligned([_HEAD, *rows], left_columns=2))
    print("\n".join(problems) or "nothing was lost but in the kernel; only what was announced came twice")
    return 1 if problems else 0


if __name__ == "__main__":
    run_command(main)
