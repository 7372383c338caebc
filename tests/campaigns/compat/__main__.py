"""Runs real Discord libraries against the chat server: `python -m tests.campaigns.compat`.

Exits with 1 if any of them failed at anything, or could not be installed. A whole run's table goes into
docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.campaigns.compat import environments, report
from tests.campaigns.compat.libraries import LIBRARIES, BotEnvironment, TrialCase, trial_cases
from tests.campaigns.compat.restart_trial import STEPS as TOGETHER_STEPS
from tests.campaigns.compat.restart_trial import RestartTrialResult, run_restart_trial
from tests.campaigns.compat.trial import STEPS, TrialResult, run_trial
from tests.campaigns.harness.director import run_command
from tests.campaigns.harness.report import ROOT, write_document

FOLDER: Final = ROOT / ".compat"
_CLIENTS: Final = Path(__file__).with_name("clients")
_AT_ONCE: Final = 2
_TOGETHER: Final = "together"


async def campaign(wanted: Sequence[TrialCase]) -> list[TrialResult]:
    """Install what is missing, then try every row, two at a time."""
    places = asyncio.Semaphore(_AT_ONCE)
    needed = list(dict.fromkeys(row.environment for row in wanted))

    async def install(environment: BotEnvironment) -> str:
        async with places:
            try:
                await environments.install(environment, FOLDER)
            except environments.NotInstalled as error:
                return str(error)
            return ""

    async def attempt(row: TrialCase) -> TrialResult:
        reason = refused[row.environment]
        if reason:
            return TrialResult(row, {next(iter(STEPS)): f"can't be installed: {reason}"})
        async with places:
            program = environments.interpreter_command(row.environment, FOLDER)
            folder = FOLDER / row.environment.name
            result = await run_trial(
                row, program, _CLIENTS / row.library.script, folder, environments.clean_environment()
            )
            print(f"{row}: {'FAILED' if result.failed else 'ok'}", flush=True)
            return result

    print(f"environments in {FOLDER.name}/: {', '.join(environment.name for environment in needed)}", flush=True)
    refused = dict(zip(needed, await asyncio.gather(*map(install, needed)), strict=True))
    return await asyncio.gather(*map(attempt, wanted))


async def try_restart() -> RestartTrialResult:
    """All clients together, with the first library's bot."""
    row = trial_cases()[0]
    try:
        await environments.install(row.environment, FOLDER)
    except environments.NotInstalled as error:
        return RestartTrialResult(str(row), {next(iter(TOGETHER_STEPS)): f"can't be installed: {error}"})
    program = environments.interpreter_command(row.environment, FOLDER)
    folder = FOLDER / row.environment.name
    return await run_restart_trial(
        row, program, _CLIENTS / row.library.script, folder, environments.clean_environment()
    )


async def run(options: argparse.Namespace) -> int:
    """Run; returns the exit status."""
    only = tuple(name for name in options.only if name != _TOGETHER)
    wanted = trial_cases(only, python_only=options.python_only) if only or not options.only else []
    together = _TOGETHER in options.only or not (options.only or options.python_only)
    if not wanted and not together:
        print("nothing to run: --only names JavaScript libraries, and --python-only leaves them out", file=sys.stderr)
        return 1
    runtimes = await environments.runtimes()
    results = await campaign(wanted) if wanted else []
    if results:
        print(f"\n{report.terminal_text(results, runtimes)}")
    outcome = await try_restart() if together else None
    if outcome is not None:
        print(f"\n{report.restart_trial_text(outcome)}")
    failures = [result.failed for result in results] + ([outcome.failed] if outcome is not None else [])
    failed = sum(failures)
    print(f"\n{failed} of {len(failures)} failed" if failed else f"\nall {len(failures)} went well")
    if outcome is not None and not options.only and not options.python_only:
        table = report.document(results, runtimes, dt.datetime.now(dt.UTC).date().isoformat())
        write_document("compatibility", f"{table}\n\n{report.restart_trial_document(outcome)}")
    return 1 if failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="make compat", description=__doc__)
    names = [library.name for library in LIBRARIES]
    parser.add_argument(
        "--only", action="append", choices=[*names, _TOGETHER], default=[], help="this one; may be repeated"
    )
    parser.add_argument(
        "--python-only", action="store_true", help="leave out the JavaScript libraries, and the last trial"
    )
    return asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    run_command(main)
