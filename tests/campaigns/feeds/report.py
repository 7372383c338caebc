"""The findings of the feeds soak, and its verdict."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from onesocket.testing.services import SlackVenue, VenueEvent
from tests.campaigns.harness.probe import Sample
from tests.campaigns.harness.report import aligned, shortened

from .schedule import SERVICES
from .venues import SoakVenue

_NEAR: Final = 30.0
"""Seconds between an envelope that a reader didn't get, and the gap that tells it."""
_WARM: Final = 1
"""The sample after which nothing may grow: the first one is made before the first fault."""
_GROWTH_SECONDS: Final = 400.0
"""Shorter runs say nothing of growth: each account keeps up to 1 024 messages for a first reader of everything."""


@dataclass
class FeedsFindings:
    """Everything that was counted."""

    seed: int
    seconds: float = 0.0
    interrupted: bool = False
    wrong: list[str] = field(default_factory=list[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    rotations: Counter[str] = field(default_factory=Counter[str])
    """How calls of `rotate()` ended."""
    requests: Counter[str] = field(default_factory=Counter[str])
    books: int = 0
    """Books of readers that were compared with the venue's."""
    comparisons: int = 0
    """Times at which everything was compared."""
    reads: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    samples: dict[str, list[Sample]] = field(default_factory=dict[str, list[Sample]])
    rows: list[list[str]] = field(default_factory=list[list[str]])

    def add_states(self, states: dict[str, Any]) -> None:
        """Add up what the readers read."""
        self.reads = {service: Counter() for service in SERVICES}
        for views in states.values():
            for service, view in views.items():
                for name in ("received", "holes", "gaps", "ended"):
                    self.reads[service][name] += view[name]

    def add_envelopes(self, venue: SlackVenue, envelopes: dict[str, Any], last: int) -> None:
        """Compare the envelopes that were acknowledged with those that each reader got."""
        sent_at = {int(entry.key.rpartition("-")[2]): entry.at for entry in venue.ledger.of(VenueEvent.ACKNOWLEDGED)}
        for reader, told in envelopes.items():
            numbers = base64.b64decode(told["numbers"])
            missing = [n for n in range(1, last + 1) if n >= len(numbers) or not numbers[n]]
            untold = [
                n for n in missing if n in sent_at and not any(abs(at - sent_at[n]) < _NEAR for at in told["gaps"])
            ]
            self.reads["slack"]["missing"] += len(missing)
            if untold:
                self.wrong.append(f"reader {reader}: envelopes {untold[:10]} were acknowledged, and didn't come")

    def add_venues(self, venues: dict[str, SoakVenue]) -> None:
        """Make the rows of the table."""
        for service, venue in venues.items():
            totals, reads = venue.venue.ledger.totals, self.reads.get(service, Counter())
            self.rows.append(
                [
                    service,
                    *(
                        str(number)
                        for number in (
                            totals[VenueEvent.OPENED],
                            venue.most_sockets,
                            venue.pairs,
                            f"{venue.longest_pair:.1f} s",
                            totals[VenueEvent.SENT],
                            totals[VenueEvent.WITHHELD],
                            reads["received"],
                            reads["holes"],
                            reads["gaps"],
                            totals[VenueEvent.REFUSED],
                            venue.in_doubt,
                        )
                    ),
                ]
            )

    def problems(self) -> list[str]:
        """Why the verdict is bad; empty if it's good."""
        found = shortened(self.wrong)
        for name, samples in self.samples.items():
            if self.seconds > _GROWTH_SECONDS:
                found += [f"{name} has grown: {text}" for text in samples[-1].growth(samples[_WARM])]
        if not self.comparisons:
            found.append("nothing was compared")
        answered = sum(count for name, count in self.requests.items() if name.endswith("answered"))
        if answered * 2 < self.requests.total():
            found.append(f"only {answered} of {self.requests.total()} requests were answered")
        return found


def report(findings: FeedsFindings) -> str:
    """All tables, and the verdict."""
    head = [
        "venue",
        "connections",
        "most at once",
        "rotations",
        "longest",
        "sent",
        "withheld",
        "read",
        "holes told",
        "gaps told",
        "refusals",
        "in doubt",
    ]
    lines = [
        f"{findings.seconds:.0f} s, seed {findings.seed}{' (interrupted)' if findings.interrupted else ''}",
        aligned([head, *findings.rows]),
        "",
        aligned([[name, str(count)] for name, count in findings.faults.most_common()]) if findings.faults else "",
        "",
        *(f"rotate() ended with {name}: {count}" for name, count in findings.rotations.most_common()),
        *(f"requests, {name}: {count}" for name, count in sorted(findings.requests.items())),
        f"books compared: {findings.books}; everything compared: {findings.comparisons} times",
    ]
    for name, samples in findings.samples.items():
        lines += [
            f"{name}: {each.tasks} tasks, {each.descriptors} descriptors, {each.rss >> 10} KiB, {each.objects} objects"
            for each in samples
        ]
    problems = findings.problems()
    verdict = [f"BAD: {text}" for text in problems] or ["good: nothing lost untold, nothing doubled, every book equal"]
    return "\n".join([*lines, "", *verdict])
