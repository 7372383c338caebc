"""Fuzz the C twin under sanitizers, and compare the twins on what that has found and on random streams."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from onesocket.wire import _python_frames as python
from tests.campaigns.fuzz.target import ROOT, CampaignError, build_target, run_target
from tests.unit.onesocket.wire.test_twins_agree import Case, native, outcome

HEADER = 8
"""Bytes of an input that say how its stream is fed: harness.c."""


def case_of(data: bytes) -> Case:
    """Return an input of the target as a case for both twins."""
    flags = data[0]
    limit = data[1] if flags & 8 else data[1] * 1031
    steps = tuple((1, 2, 3, 5, 9, 14, 64, 130, 511, 4096)[step % 10] for step in data[3:HEADER])
    return Case(
        masked=bool(flags & 1),
        max_size=limit if flags & 16 else None,
        inflates=bool(flags & 6),
        stream=data[HEADER:],
        steps=steps,
        by_buffer=bool(flags & 32),
        late=bool(flags & 64),
    )


def differences(corpus: Path) -> list[str]:
    """Return the inputs of which the twins have two opinions."""
    inputs = [path for path in sorted(corpus.iterdir()) if path.stat().st_size > HEADER]
    cases = [(path, case_of(path.read_bytes())) for path in inputs]
    return [f"{path}: the twins differ" for path, case in cases if outcome(native, case) != outcome(python, case)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was run and found; returns 1 if anything was found, 2 if the campaign can't be run."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="bound of the fuzzing under sanitizers (default: 60)")
    parser.add_argument("--executions", type=int, default=0, help="its other bound (default: none)")
    parser.add_argument("--examples", type=int, default=2000, help="random streams for both twins (default: 2000)")
    options = parser.parse_args(arguments)
    folder = ROOT / ".fuzz"
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    try:
        result = run_target(build_target(folder), corpus, options.seconds, options.executions)
    except CampaignError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"sanitizers: {result.executions} executions in {result.seconds} s; {result.finding or 'nothing found'}")
    found = differences(corpus)
    print("\n".join(found) or f"twins: the same on {len(list(corpus.iterdir()))} inputs of the corpus")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--quiet",
        "-o",
        "timeout=0",
        "tests/unit/onesocket/wire/test_twins_agree.py",
    ]
    environment = {**os.environ, "ONESOCKET_FUZZ_EXAMPLES": str(options.examples)}
    streams = subprocess.run(command, env=environment, cwd=ROOT, check=False)  # noqa: S603 - ours
    return 1 if result.finding or found or streams.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
