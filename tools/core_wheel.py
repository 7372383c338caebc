"""Checks the core wheel, installed alone: ``python -m tools.core_wheel WHEEL SCRIPTS TWIN``.

SCRIPTS is the folder with the environment's commands, into which pytest and the wheel with its extra ``cli`` were
installed; TWIN, ``c`` or ``python``, parses frames there. With ``--with-others`` the others are there, too.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

FOREIGN: Final = ("discord", "chat", "demo", "simulation")
"""Parts of the repository that the core distribution does not ship."""
MISSING: Final = {"serve": "onesocket-discord", "chat": "onesocket-chat"}
"""Subcommands of the other distributions, and the distribution that an error has to name."""
FIXTURES: Final = ("faulty_server", "memory_server", "threaded_faulty_server")
FOREIGN_FIXTURE: Final = "chat_server"
_USAGE_ERROR: Final = 2


def foreign_files(names: Iterable[str]) -> list[str]:
    """Files outside the package `onesocket`, and files of parts that other distributions ship."""
    found: list[str] = []
    for name in names:
        top = PurePosixPath(name).parts[0]
        inside = top == "onesocket" or (top.startswith("onesocket-") and top.endswith(".dist-info"))
        if not inside or any(word in name for word in FOREIGN):
            found.append(name)
    return found


def wrong_commands(command: Sequence[str]) -> list[str]:
    """Subcommands of `onesocket` that don't behave as they should without the other distributions."""
    found: list[str] = []
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if shown.returncode != 0 or "connect" not in shown.stdout:
        found.append(f"--help exits with {shown.returncode}: {shown.stderr}")
    for name, distribution in MISSING.items():
        if name in shown.stdout.split():
            found.append(f"--help lists {name}, which is not installed")
        run = subprocess.run([*command, name], capture_output=True, text=True, check=False)  # noqa: S603 - ours
        if run.returncode != _USAGE_ERROR or distribution not in run.stderr:
            found.append(f"{name} exits with {run.returncode} and does not name {distribution}: {run.stderr}")
    return found


def wrong_fixtures(command: Sequence[str], folder: str) -> list[str]:
    """Problems of pytest, in a folder without tests, with the plugin of the core alone, without the extra `testing`."""
    arguments = [*command, "--quiet", "--fixtures"]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder)  # noqa: S603 - ours
    shown = {line.partition(" ")[0] for line in run.stdout.splitlines()}
    found = [f"pytest has no fixture {name}: {run.stderr}" for name in FIXTURES if name not in shown]
    if FOREIGN_FIXTURE in shown:
        found.append(f"pytest has the fixture {FOREIGN_FIXTURE}, which is not installed")
    return found


_IDENTIFY: Final = """
import onesocket, sys
from onesocket import wire
assert onesocket.__file__.startswith(sys.prefix), onesocket.__file__
print(wire.IMPLEMENTATION)
"""


def wrong_twin(python: str, twin: str) -> list[str]:
    """Problems of the modules that are imported: not those of the environment, or not this twin of `onesocket.wire`."""
    run = subprocess.run([python, "-I", "-c", _IDENTIFY], capture_output=True, text=True, check=False)  # noqa: S603 - ours
    used = run.stdout.strip()
    return [] if used == twin else [f"the wheel parses frames in {used or run.stderr!r}, and should in {twin}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each problem; returns 1 if there is one."""
    *options, wheel, scripts, twin = sys.argv[1:] if arguments is None else arguments
    with zipfile.ZipFile(wheel) as archive:
        problems = [f"{name}: not part of the core" for name in foreign_files(archive.namelist())]
    problems += wrong_twin(str(Path(scripts) / "python"), twin)
    if "--with-others" not in options:
        problems += wrong_commands([str(Path(scripts) / "onesocket")])
        problems += wrong_fixtures([str(Path(scripts).absolute() / "pytest")], scripts)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
