"""Runs Autobahn's fuzzing server and client against both sides of the engine: `python -m tests.campaigns.conformance`.

Both twins of `onesocket.wire` are tested, at the same time, each by a process of its own. Exits with 1 if a case
failed, was non-strict without an explanation, or was not run; and if there is no Python 2.7, which Autobahn needs. A
whole run's summary goes into docs/conformance.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.campaigns.conformance import fuzzing_server as server
from tests.campaigns.conformance import report
from tests.campaigns.conformance.twin_run import AGENTS
from tests.campaigns.harness.director import run_command
from tests.campaigns.harness.report import ROOT, write_document

FOLDER: Final = ROOT / ".autobahn"
TWINS: Final = ("c", "python")


def versions() -> dict[str, str]:
    """The versions of the programs in this run."""
    return {
        "autobahntestsuite": server.VERSION,
        "Python": platform.python_version(),
        "onesocket": importlib.metadata.version("onesocket"),
    }


def campaign(twins: Sequence[str], options: Sequence[str]) -> list[report.Verdict]:
    """Install Autobahn, let each twin play, and judge. Raises `NoServerError`."""
    python2 = server.find_python2(server.candidates())
    print(f"Autobahn on {python2}", flush=True)
    server.install(python2, FOLDER)
    command = [sys.executable, "-m", "tests.campaigns.conformance.twin_run", "--python2", python2, *options]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for twin in twins:
            verdicts_of(twin).unlink(missing_ok=True)
            environment = {**os.environ, "ONESOCKET_WIRE": twin}
            processes.append(subprocess.Popen([*command, str(FOLDER / twin)], cwd=ROOT, env=environment))  # noqa: S603
        statuses = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    if any(statuses):
        raise server.NoServerError("a run was not completed")
    return [
        report.Verdict(**verdict)
        for twin in twins
        for verdict in json.loads(verdicts_of(twin).read_text(encoding="utf-8"))
    ]


def verdicts_of(twin: str) -> Path:
    """The file with the verdicts of one twin."""
    return FOLDER / twin / "verdicts.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--twin", action="append", choices=TWINS, help="default: both")
    parser.add_argument("--agent", action="append", default=[], choices=AGENTS, help="default: all")
    parser.add_argument("--only", action="append", default=[], metavar="PREFIX", help="cases such as 7. or 6.4.1")
    options = parser.parse_args(arguments)
    passed_on = [f"--agent={agent}" for agent in options.agent] + [f"--only={prefix}" for prefix in options.only]
    try:
        verdicts = campaign(options.twin or TWINS, passed_on)
    except server.NoServerError as error:
        print(error, file=sys.stderr)
        return 1
    for verdict in verdicts:
        print(report.printed(verdict), end="\n\n")
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    print("\n".join(problems) if problems else "none failed, and what is non-strict is explained")
    print(f"every case in detail: {FOLDER}/TWIN/reports/index.html and {FOLDER}/TWIN/server-reports/index.html")
    if not (passed_on or options.twin):
        today = dt.datetime.now(dt.UTC).date().isoformat()
        write_document("conformance", report.document(verdicts, versions(), today))
    return 1 if problems else 0


if __name__ == "__main__":
    run_command(main)
