"""What the soak found, and whether that's good enough."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.campaigns.soak.ledger import ConnectionRecord, Fate, Tally
from tests.campaigns.soak.probe import Sample
from tests.campaigns.soak.soak_client import SoakClient

_SHOWN = 20


@dataclass
class SoakFindings:
    """Everything that was counted."""

    seed: int
    clients: int
    rate: float
    seconds: float = 0.0
    interrupted: bool = False
    faults: Counter[str] = field(default_factory=Counter[str])
    samples: list[tuple[float, Sample]] = field(default_factory=list[tuple[float, Sample]])
    before: Sample | None = None
    after: Sample | None = None
    tally: Tally = field(default_factory=Tally)
    wrong: list[str] = field(default_factory=list[str])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    lines: Counter[str] = field(default_factory=Counter[str])
    """How the lines ended."""
    unnoticed: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])
    echoes: int = 0
    reported: int = 0
    reconnects: int = 0

    def take(self, stations: Sequence[SoakClient], told: dict[str, Any]) -> None:
        """Balance the clients' books with the server's."""
        lines = [ConnectionRecord(*record) for record in told["lines"]]
        by_client: dict[int, list[ConnectionRecord]] = {}
        for line in lines:
            by_client.setdefault(line.client, []).append(line)
            self.lines["closed in order" if line.clean else f"broken: {line.cause or 'without a fault'}"] += 1
        for station in stations:
            received = base64.b64decode(told["received"].get(str(station.number), ""))
            self.tally.balance(station.number, station.pages, received, by_client.get(station.number, []))
            self.wrong += station.wrong
            self.failures += station.failures
            self.echoes += station.echoes
            self.reported += station.reported
            self.reconnects += station.client.stats.reconnects
            if station.unwatched != station.reported:
                text = f"{station.unwatched} deliveries failed unwatched, and on_error told of {station.reported}"
                self.wrong.append(f"client {station.number}: {text}")
            if station.pages.is_full:
                self.wrong.append(f"client {station.number}: its books are full; the rate is not what it says")
        self.wrong += told["wrong"]
        self.unnoticed = told["unnoticed"]
        self.counts = told["counts"]

    def complaints(self) -> list[str]:
        """Why the verdict is bad; empty if it's good."""
        found = [*self.wrong[:_SHOWN], *self.tally.complaints()]
        if len(self.wrong) > _SHOWN:
            found.append(f"... and {len(self.wrong) - _SHOWN} more like the first {_SHOWN}")
        if len(self.samples) > 1:
            found += self.samples[-1][1].growth(self.samples[0][1])
        if self.counts.get("open_now", 0):
            found.append(f"{self.counts['open_now']} WebSockets are still open after all clients were closed")
        if self.before is not None and self.after is not None:
            for name in ("tasks", "descriptors"):
                was, now = getattr(self.before, name), getattr(self.after, name)
                if was != now:
                    found.append(f"{name}: {was} before the first client, {now} after the last")
        if self.counts.get("protocol_errors", 0):
            found.append(f"the clients broke the protocol {self.counts['protocol_errors']} times")
        if not self.tally.arrived:
            found.append("no message arrived at all")
        return found


def report(findings: SoakFindings) -> str:
    """The tables and the verdict."""
    tally = findings.tally
    lost = tally.lost.total()
    fates = tally.fates
    sections = [
        _table(
            f"{findings.clients} clients, {findings.seconds:.0f} s, seed {findings.seed}",
            [
                ("faults", sum(findings.faults.values())),
                ("upgrades asked for", findings.counts.get("handshakes", 0)),
                ("lines", sum(findings.lines.values())),
                ("lines resumed by the clients", findings.reconnects),
                ("ends that a server that reads nothing missed", findings.unnoticed),
                ("sockets too many", sum("two sockets" in text for text in findings.wrong)),
            ],
        ),
        _table(
            "messages",
            [
                ("accepted", tally.accepted),
                ("sent, and arrived once", fates[Fate.SENT] - lost),
                ("sent, and lost with a broken line", lost),
                *((f"  {cause}", count) for cause, count in tally.lost.most_common()),
                ("DeliveryUnknown, arrived", tally.unknown_arrived),
                ("DeliveryUnknown, did not arrive", fates[Fate.UNKNOWN] - tally.unknown_arrived),
                ("MessageExpired, did not arrive", fates[Fate.EXPIRED]),
                ("disconnect() or aclose(), did not arrive", fates[Fate.STOPPED]),
                ("without a fate", fates[Fate.WAITING]),
                ("not accepted: OutboxFull", fates[Fate.FULL]),
                ("echoes", findings.echoes),
                ("failures told by on_error", findings.reported),
            ],
        ),
        _table("how lines ended", findings.lines.most_common()),
        _table("what connect() and reconnect() raised", findings.failures.most_common()),
        _samples(findings),
    ]
    complaints = findings.complaints()
    verdict = "\n".join(["NOT GOOD:", *complaints]) if complaints else "good: nothing lost in silence, nothing grew"
    if findings.interrupted:
        verdict += " (interrupted)"
    return "\n\n".join([*sections, verdict])


def _samples(findings: SoakFindings) -> str:
    rows = [("at", "tasks", "descriptors", "RSS KiB", "objects")]
    marked: list[tuple[str, Sample | None]] = [("before", findings.before)]
    marked += [(f"{at:.0f} s", taken) for at, taken in findings.samples]
    marked.append(("closed", findings.after))
    rows += [
        (label, str(taken.tasks), str(taken.descriptors), str(taken.rss >> 10), str(taken.objects))
        for label, taken in marked
        if taken is not None
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _table(title: str, rows: Sequence[tuple[str, int]]) -> str:
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join([f"{title}:", *(f"  {label.ljust(width)}  {count:>9}" for label, count in rows)])
