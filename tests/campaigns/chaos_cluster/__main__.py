"""``python -m tests.campaigns.chaos_cluster``: checks what `scope="cluster"` promises, while everything fails in turn.

Several hosts, a real engine, an upstream server that counts. Exits with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from tests.campaigns.chaos import report
from tests.campaigns.chaos.findings import ChaosFindings
from tests.campaigns.harness.director import add_seed, run_command
from tests.campaigns.harness.report import write_document
from tests.campaigns.harness.worker_process import OrderRefused, WorkerFailure

from .cluster_run import play
from .engine_process import NATS, REDIS
from .network import new_network
from .session_run import SESSION_HOSTS, play_sessions


def run_on(findings: ChaosFindings, faults: int, playing: Coroutine[Any, Any, None]) -> ChaosFindings:
    """One run on one engine, within its deadline."""
    started = time.monotonic()
    deadline = 60.0 + 12.0 * faults
    try:
        asyncio.run(asyncio.wait_for(playing, deadline))
    except (WorkerFailure, OrderRefused) as error:
        findings.broken(str(error))
    except TimeoutError as error:
        findings.broken(f"not done within {deadline:g} s {error}")
    findings.seconds = time.monotonic() - started
    return findings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make chaos-cluster", description=__doc__)
    parser.add_argument("--faults", type=int, default=100, help="how many faults on each engine")
    parser.add_argument("--engine", choices=[REDIS, NATS], action="append", help="this one alone (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="four faults, in less than 20 seconds")
    parser.add_argument("--loopback", action="store_true", help="no network namespaces")
    parser.add_argument(
        "--sessions", action="store_true", help="the session of a bot instead: does the next one resume?"
    )
    add_seed(parser)
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/chaos-cluster.md")
    options = parser.parse_args(arguments)
    if options.faults < 1:
        parser.error("--faults must be 1 or more")
    if not hasattr(os, "fork"):
        print("scope='cluster' needs Linux or macOS, and so does this campaign", file=sys.stderr)
        return 1
    network = new_network(loopback=options.loopback or options.sessions)
    seed, faults, quick = options.seed, options.faults, options.quick
    where = SESSION_HOSTS if options.sessions else network.title
    print(f"seed {seed}, faults {faults}; {where}", flush=True)
    played: list[ChaosFindings] = []
    for engine in options.engine or [REDIS, NATS]:
        print(f"       {engine} …", flush=True)
        if options.sessions:
            findings = ChaosFindings(f"{engine}: the session of a bot, {where}")
            playing = play_sessions(findings, engine, seed, faults, quick=quick)
        else:
            findings = ChaosFindings(f"{engine}: hosts that share a connection, {where}")
            playing = play(findings, network, engine, seed, faults, quick=quick)
        played.append(run_on(findings, faults, playing))
        print(report.table(played[-1:]), flush=True)
    print(f"\n{report.verdict(played)}")
    if options.write_docs:
        only = "--sessions " * options.sessions + "".join(f"--engine {engine} " for engine in options.engine or ())
        command = f'make chaos-cluster ARGS="{only}--faults {faults} --seed {seed}"'
        name = "chaos-cluster-sessions" if options.sessions else "chaos-cluster"
        write_document(name, report.document(played, command), "chaos-cluster")
    return 1 if any(one.wrong for one in played) else 0


if __name__ == "__main__":
    run_command(main)
