"""The findings of a soak, and its verdict."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.campaigns.harness.ledger import FULL, NO_FATE, SENT, UNKNOWN, ConnectionRecord, Tally
from tests.campaigns.harness.probe import Sample
from tests.campaigns.harness.report import aligned, shortened
from tests.campaigns.soak.soak_client import SoakClient


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
    ends: Counter[str] = field(default_factory=Counter[str])
    """How the connections ended."""
    unnoticed: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])
    echoes: int = 0
    reported: int = 0
    reconnects: int = 0

    def take(self, clients: Sequence[SoakClient], told: dict[str, Any]) -> None:
        """Compare the records of the clients with those of the server."""
        by_client: dict[int, list[ConnectionRecord]] = {}
        for client, *values in told["connections"]:
            connection = ConnectionRecord(*values)
            by_client.setdefault(client, []).append(connection)
            end = "closed in order" if connection.clean else f"broken: {connection.cause or 'without a fault'}"
            self.ends[end] += 1
        for client in clients:
            name = f"client {client.number}"
            received = base64.b64decode(told["received"].get(str(client.number), ""))
            copies = {number: times for number, times in enumerate(received) if times}
            self.tally.add(name, client.record, copies, by_client.get(client.number, []))
            self.wrong += client.wrong
            self.failures += client.failures
            self.echoes += client.echoes
            self.reported += client.reported
            self.reconnects += client.client.stats.reconnects
            if client.unwatched != client.reported:
                text = f"{client.unwatched} deliveries failed without a waiter, and on_error got {client.reported}"
                self.wrong.append(f"{name}: {text}")
            if client.record.is_full:
                self.wrong.append(f"{name}: its record is full; the rate is not as stated")
        self.wrong += told["wrong"]
        self.unnoticed = told["unnoticed"]
        self.counts = told["counts"]

    def problems(self) -> list[str]:
        """Why the verdict is bad; empty if it's good."""
        found = [*shortened(self.wrong), *shortened(self.tally.wrong)]
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
                ("connections", sum(findings.ends.values())),
                ("connections resumed by the clients", findings.reconnects),
                ("ends that a server that reads nothing missed", findings.unnoticed),
                ("sockets too many", sum("two sockets" in text for text in findings.wrong)),
            ],
        ),
        _table(
            "messages",
            [
                ("accepted", tally.accepted),
                ("sent, and arrived once", fates[SENT] - lost),
                ("sent, and lost with a broken connection", lost),
                *((f"  {cause}", count) for cause, count in tally.lost.most_common()),
                ("DeliveryUnknown, arrived", tally.unknown_arrived),
                ("DeliveryUnknown, did not arrive", fates[UNKNOWN] - tally.unknown_arrived),
                ("MessageExpired, did not arrive", fates["MessageExpired"]),
                ("disconnect() or aclose(), did not arrive", fates["ManuallyDisconnected"] + fates["ClientClosed"]),
                ("without a fate", fates[NO_FATE]),
                ("not accepted: OutboxFull", fates[FULL]),
                ("echoes", findings.echoes),
                ("failures told by on_error", findings.reported),
            ],
        ),
        _table("how connections ended", findings.ends.most_common()),
        _table("what connect() and reconnect() raised", findings.failures.most_common()),
        _samples(findings),
    ]
    problems = findings.problems()
    verdict = "\n".join(["NOT GOOD:", *problems]) if problems else "good: nothing lost in silence, nothing grew"
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
    return aligned(rows, left_columns=0)


def _table(title: str, rows: Sequence[tuple[str, int]]) -> str:
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join([f"{title}:", *(f"  {label.ljust(width)}  {count:>9}" for label, count in rows)])
