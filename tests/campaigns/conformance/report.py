"""Counts, judges and renders the results of the fuzzing server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.campaigns.harness.report import aligned, markdown_table

GROUPS: Final[Mapping[str, str]] = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "close handling",
    "9": "limits, performance",
    "10": "auto-fragmentation",
    "12": "compression",
    "13": "compression parameters",
}
BEHAVIOURS: Final = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED")

EXPLANATIONS: Final[Mapping[str, str]] = {}
"""The cases that may be non-strict, and why: none is."""


@dataclass
class Verdict:
    """The results of the cases of one agent."""

    agent: str
    cases: dict[str, str] = field(default_factory=dict)
    """Case to the worse one of its two behaviours."""
    problems: list[str] = field(default_factory=list)
    """Why this run is not good enough."""

    @property
    def counts(self) -> Counter[str]:
        """How many cases had each behaviour."""
        return Counter(self.cases.values())

    def named(self, behaviour: str) -> list[str]:
        """The cases with this behaviour."""
        return sorted((case for case, was in self.cases.items() if was == behaviour), key=by_number)


def by_number(case: str) -> tuple[int, ...]:
    """Sort 7.10.2 behind 7.9.1."""
    return tuple(int(part) for part in case.split("."))


def behaviour(result: Mapping[str, Any]) -> str:
    """One word for a case: how it went on, or how it ended, whichever is worse; what isn't known is a failure."""
    both = (str(result["behavior"]), str(result["behaviorClose"]))
    if both[0] == "UNIMPLEMENTED":
        return both[0]
    return next((word for word in ("NON-STRICT", "INFORMATIONAL") if word in both and _is_acceptable(both)), "") or (
        "OK" if both == ("OK", "OK") else "FAILED"
    )


def _is_acceptable(both: Sequence[str]) -> bool:
    return set(both) <= {"OK", "NON-STRICT", "INFORMATIONAL"}


def judge(agent: str, results: Mapping[str, Mapping[str, Any]], wanted: Iterable[str], hung: Iterable[str]) -> Verdict:
    """Judge what the server says about one agent, of which the cases in `wanted` were to be run."""
    verdict = Verdict(agent)
    for case in wanted:
        result = results.get(case)
        word = "FAILED" if result is None else behaviour(result)
        verdict.cases[case] = word
        if result is None:
            verdict.problems.append(f"{agent} {case}: the server has no result")
        elif word in {"FAILED", "UNIMPLEMENTED"}:
            how = f"{result['behavior']}, close {result['behaviorClose']} (code {result['remoteCloseCode']})"
            verdict.problems.append(f"{agent} {case}: {how}")
        elif word == "NON-STRICT" and case not in EXPLANATIONS:
            verdict.problems.append(f"{agent} {case}: non-strict, without an explanation")
    verdict.problems += [f"{agent} {case}: the connection did not end by itself" for case in hung]
    if not verdict.cases:
        verdict.problems.append(f"{agent}: no case was run")
    return verdict


def table(verdict: Verdict) -> list[list[str]]:
    """Rows of one agent: the case groups, and their behaviours."""
    rows: list[list[str]] = []
    for number, title in GROUPS.items():
        counts = Counter(word for case, word in verdict.cases.items() if case.split(".")[0] == number)
        if counts:
            rows.append([f"{number} {title}", *(str(counts[word] or "") for word in BEHAVIOURS)])
    rows.append(["all", *(str(verdict.counts[word]) for word in BEHAVIOURS)])
    return rows


def printed(verdict: Verdict) -> str:
    """The table, for a terminal."""
    return aligned([[verdict.agent, *BEHAVIOURS], *table(verdict)])


def document(verdicts: Sequence[Verdict], versions: Mapping[str, str], day: str) -> str:
    """The summary for the page of the campaign."""
    lines = [f"Run on {day}: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".", ""]
    counts = [
        [f"`{one.agent}`", str(len(one.cases)), *(str(one.counts[word]) for word in BEHAVIOURS)] for one in verdicts
    ]
    lines.append(markdown_table(["agent", "cases", *BEHAVIOURS], counts, 1))
    for verdict in verdicts:
        lines += ["", f"### `{verdict.agent}`", "", markdown_table(["group", *BEHAVIOURS], table(verdict), 1)]
        for word in BEHAVIOURS[1:]:
            if verdict.named(word):
                lines += ["", f"{word}: {', '.join(verdict.named(word))}."]
    lines += ["", "### Why non-strict", ""]
    lines += _explanations(verdicts) or ["Nothing was."]
    return "\n".join(lines)


def _explanations(verdicts: Sequence[Verdict]) -> list[str]:
    found: dict[str, set[str]] = {}
    for verdict in verdicts:
        for case in verdict.named("NON-STRICT"):
            found.setdefault(EXPLANATIONS.get(case, "**Not explained.**"), set()).add(case)
    return [f"- {', '.join(sorted(cases, key=by_number))}: {why}" for why, cases in found.items()]
