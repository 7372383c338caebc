"""The table: for a terminal, and for the docs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.campaigns.compat.restart_trial import STEPS as TOGETHER_STEPS
from tests.campaigns.compat.restart_trial import RestartTrialResult
from tests.campaigns.compat.trial import STEPS, TrialResult
from tests.campaigns.harness.report import aligned, markdown_table

_HEAD: Final = ("library", "version", "runtime", "compression", *STEPS)
_OUTCOMES: Final = {False: "ok", True: "failed"}


def table(results: Sequence[TrialResult], runtimes: Mapping[str, str]) -> list[list[str]]:
    """The rows: each step is ok, failed or not reached."""
    rows: list[list[str]] = []
    for result in results:
        library = result.row.library
        runtime = f"{library.runtime} {runtimes[library.runtime]}".strip()
        outcomes = [_OUTCOMES[bool(result.steps[step])] if step in result.steps else "not reached" for step in STEPS]
        rows.append([library.name, library.version, runtime, result.row.compression, *outcomes])
    return rows


def reasons(results: Sequence[TrialResult]) -> list[str]:
    """Why what failed has failed."""
    return [f"{result.row}: {step}: {reason}" for result in results for step, reason in result.steps.items() if reason]


def terminal_text(results: Sequence[TrialResult], runtimes: Mapping[str, str]) -> str:
    """For a terminal: the table, and below it the reasons in full."""
    return "\n".join([aligned([_HEAD, *table(results, runtimes)], len(_HEAD)), *reasons(results)])


def document(results: Sequence[TrialResult], runtimes: Mapping[str, str], day: str) -> str:
    """The table for the document, and below it the first line of each reason."""
    lines = [f"Run on {day}.", "", markdown_table(_HEAD, table(results, runtimes))]
    return "\n".join([*lines, *(f"\n- {reason.splitlines()[0]}" for reason in reasons(results))])


def restart_trial_text(outcome: RestartTrialResult) -> str:
    """The last trial for a terminal, its reason in full."""
    lines = [f"{step}: {_outcome(outcome, step)}" for step in TOGETHER_STEPS]
    return "\n".join([f"together, with {outcome.library}", *lines, *filter(None, [outcome.figures])])


def restart_trial_document(outcome: RestartTrialResult) -> str:
    """The last trial for the docs: its steps, and what was counted."""
    head = f"All clients together, with {outcome.library}:\n"
    steps = [markdown_table(["step", ""], [[step, _outcome(outcome, step).splitlines()[0]] for step in TOGETHER_STEPS])]
    figures = [f"- {line}" for line in outcome.figures.splitlines()]
    return "\n".join([head, *steps, "", *figures]).rstrip()


def _outcome(outcome: RestartTrialResult, step: str) -> str:
    if step not in outcome.steps:
        return "not reached"
    return f"failed: {outcome.steps[step]}" if outcome.steps[step] else "ok"
