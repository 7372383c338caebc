"""Runs the scripts of tests/js, on the Node.js that a wheel brings."""

import subprocess
from pathlib import Path
from typing import Final

from tests.support.terminals import NODE_FOLDER, ROOT

SCRIPTS: Final = ROOT / "tests" / "js"
NODE: Final = str(NODE_FOLDER / "node")


def run_script(name: str, *arguments: str | Path, stdin: str = "") -> str:
    """Run a script to its end; returns what it printed, errors included."""
    command = [NODE, str(SCRIPTS / name), *map(str, arguments)]
    finished = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=50, check=False)  # noqa: S603 - of the project
    return (finished.stdout + finished.stderr).strip()
