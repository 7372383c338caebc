"""The command `make bench-peers`: ask every peer, print, write the JSON; with `--write-docs` the page's tables too."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .. import environment
from ..document import write_tables
from ..plan import print_progress
from ..server_process import ROOT
from ..subjects.base import MissingPeer
from ..tables import Table
from .peer import PEERS, Peer

RESULTS = Path("benchmarks/results/peers.json")
_LIMIT = 30.0

Answers = dict[str, dict[str, Any]]


def ask(peer: Peer, question: str, seconds: float) -> dict[str, Any]:
    """Run one trial in a process of its own."""
    command = (sys.executable, "-m", "benchmarks.peers.trial", peer.name, question, str(seconds))
    try:
        done = subprocess.run(  # noqa: S603 - our own
            command, cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT + seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {_LIMIT + seconds:g} s"}
    if done.returncode or not done.stdout.strip():
        return {"error": (done.stderr.strip().splitlines() or ["no answer"])[-1][:200]}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def run(peers: Iterable[Peer], seconds: float) -> Answers:
    """Every question to every peer; only those that reconnect by themselves are closed on."""
    answers: Answers = {}
    for peer in peers:
        print_progress(peer.name)
        asked = {"ten": True, "cancelled": peer.cancellable, "hammer": peer.resumes}
        answers[peer.name] = {question: ask(peer, question, seconds) for question, so in asked.items() if so}
    return answers


def ten_table(answers: Answers, versions: dict[str, str]) -> Table:
    """Ten callers, and one that is cancelled."""
    head = ["", "handshakes", "open", "open after close", "what the callers get", "cancelled in the handshake"]
    table = Table("peers", "Ten concurrent connects on one object, 150 ms for the handshake", head)
    for name, answer in answers.items():
        label = f"{name} {versions.get(name, '')}".strip()
        ten = answer["ten"]
        if "error" in ten:
            table.rows.append([label, "–", "–", "–", ten["error"], "–"])
            continue
        outcomes = ", ".join(f"{count} {what}" for what, count in ten["outcomes"].items())
        cancelled = answer.get("cancelled", {"error": "–"})
        left = cancelled.get("error") or ("clean" if not cancelled["open"] else f"{cancelled['open']} open")
        counts = [str(ten[key]) for key in ("handshakes", "open", "after_close")]
        table.rows.append([label, *counts, outcomes, left])
    return table


def closed_at_once_table(answers: Answers) -> Table:
    """The server that closes at once."""
    table = Table("hammer", "A server that closes what it has just opened", ["", "handshakes", "in seconds"])
    for name, answer in answers.items():
        hammer = answer.get("hammer")
        if hammer is not None:
            known = "error" not in hammer
            cells = [str(hammer["handshakes"]), f"{hammer['seconds']:g}"] if known else [hammer["error"], "–"]
            table.rows.append([name, *cells])
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for; the status to exit with."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long the server that closes at once is watched")
    parser.add_argument("--only", default="", help=f"of {', '.join(peer.name for peer in PEERS)}; with commas")
    parser.add_argument("--allow-missing", action="store_true", help="go on without peers that are not installed")
    parser.add_argument("--output", type=Path, help=f"the JSON file (default {RESULTS}; for --only none)")
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md's tables")
    parser.add_argument("--no-run", action="store_true", help="ask nobody: read the JSON file")
    chosen = parser.parse_args(arguments)
    if chosen.no_run:
        record = json.loads((chosen.output or ROOT / RESULTS).read_text(encoding="utf-8"))
    else:
        wanted = [name for name in chosen.only.split(",") if name]
        peers = [peer for peer in PEERS if not wanted or peer.name in wanted]
        missing: dict[str, str] = {}
        for peer in peers:
            try:
                peer.check()
            except MissingPeer as error:
                missing[peer.name] = str(error)
        if missing and not chosen.allow_missing:
            raise SystemExit("\n".join(missing.values()))
        answers = run([peer for peer in peers if peer.name not in missing], chosen.seconds)
        record = {
            "machine": environment.machine(),
            "versions": environment.versions(),
            "missing": missing,
            "answers": answers,
        }
        output: Path | None = chosen.output or (None if chosen.only else ROOT / RESULTS)
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    tables = [ten_table(record["answers"], record["versions"]), closed_at_once_table(record["answers"])]
    for table in tables:
        print(table.text() + "\n")
    if chosen.write_docs and not chosen.only:
        write_tables(ROOT, tables)
    return 0
