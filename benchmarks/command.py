"""The command `make bench`: measure, print, and write the JSON; with `--write-docs` the page and its charts too.

A run with `--quick` or `--only` is not the whole of it: it prints, and writes nothing but the file it is told to.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from onesocket.wire import IMPLEMENTATION

from . import environment
from .document import write
from .import_cost import measure_imports
from .plan import QUICK, SCENARIOS, Amount, available_subjects, measure, measure_memory, print_progress
from .plots import charts
from .record import Record
from .server_process import ROOT
from .tables import all_tables
from .worker_process import MeasurementFailed

RESULTS = Path("benchmarks/results")
_OTHERS = ("memory", "imports")


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help=f"how often each row is measured (default {Amount().rounds})")
    parser.add_argument("--seconds", type=float, help=f"CPU of one measurement (default {Amount().seconds})")
    parser.add_argument("--quick", action="store_true", help="tiny counts: does it work at all?")
    parser.add_argument("--only", default="", help=f"of {', '.join([*SCENARIOS, *_OTHERS])}; with commas")
    parser.add_argument("--loops", default="asyncio,uvloop", help="with commas")
    parser.add_argument("--allow-missing", action="store_true", help="go on without peers that are not installed")
    parser.add_argument(
        "--output", type=Path, help=f"the JSON file (default {RESULTS / 'bench.json'}; for --quick and --only none)"
    )
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md's tables, and its charts")
    parser.add_argument("--no-run", action="store_true", help="measure nothing: read the JSON file")
    chosen = parser.parse_args(arguments)
    unknown = set(filter(None, chosen.only.split(","))) - {*SCENARIOS, *_OTHERS}
    if unknown:
        parser.error(f"--only knows no {', '.join(sorted(unknown))}")
    return chosen


def run(chosen: argparse.Namespace) -> Record:
    """Measure. Raises SystemExit when a peer is missing, and `MeasurementFailed`."""
    amount = QUICK if chosen.quick else Amount()
    given = {name: getattr(chosen, name) for name in ("rounds", "seconds") if getattr(chosen, name) is not None}
    amount = dataclasses.replace(amount, **given)
    wanted = [name for name in chosen.only.split(",") if name] or [*SCENARIOS, *_OTHERS]
    loops = chosen.loops.split(",")
    record = Record(environment.machine(), environment.versions(), dataclasses.asdict(amount))
    _check_peers(record, wanted, allow_missing=chosen.allow_missing)
    measure(record, [name for name in SCENARIOS if name in wanted], loops, amount, print_progress)
    if "memory" in wanted:
        print_progress("memory")
        measure_memory(record, loops, amount)
    if "imports" in wanted:
        print_progress("imports")
        measure_imports(record, amount.imports)
    return record


def _check_peers(record: Record, wanted: Sequence[str], *, allow_missing: bool) -> None:
    if IMPLEMENTATION != "c":
        record.missing["onesocket.wire, C twin"] = (
            "the C module of onesocket.wire is missing here: `make setup` says why"
        )
    for key in wanted:
        if key in SCENARIOS:
            available_subjects(SCENARIOS[key].subjects, record.missing)
    if record.missing and not allow_missing:
        raise SystemExit("\n".join(dict.fromkeys(record.missing.values())))


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for; the status to exit with."""
    chosen = options(arguments)
    whole = not (chosen.quick or chosen.only)
    output: Path | None = chosen.output or (ROOT / RESULTS / "bench.json" if whole else None)
    if chosen.no_run:
        record = Record.read(output or ROOT / RESULTS / "bench.json")
    else:
        try:
            record = run(chosen)
        except MeasurementFailed as error:
            print_progress(f"the measurement failed: {error}")
            return 1
        if output is not None:
            record.write(output)
            record = Record.read(output)  # what it says after rounding: the page can be made from it again
    for table in all_tables(record):
        print(table.text() + "\n")
    if chosen.write_docs and whole:
        write(ROOT, record, charts(record))
    return 0
