"""Checks that each dependency can be had as a wheel for another Python: ``python -m tools.wheels 3.14``.

pip evaluates environment markers for the interpreter it runs on, so the requirements are chosen here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

EXTRAS = ("chat", "cli", "discord", "testing", "tests", "uvloop", "websockets")


def requirements(project: dict[str, Any], version: str) -> list[str]:
    """The requirements of the package with its extras, without markers, that hold on this version of Python."""
    environment = {"python_version": version, "python_full_version": f"{version}.0"}
    found: set[str] = set()
    extras = project["optional-dependencies"]
    for text in (*project["dependencies"], *(text for extra in EXTRAS for text in extras[extra])):
        requirement = Requirement(text)
        if requirement.name == project["name"]:  # an extra that brings others, which EXTRAS names
            continue
        if requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None
            found.add(str(requirement))
    return sorted(found)


def main() -> int:
    """Download the wheels into a folder that is removed again; returns pip's exit code."""
    version = sys.argv[1]
    project: dict[str, Any] = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    wanted = requirements(project, version)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--python-version", version, "--only-binary=:all:", "--dest", folder, *wanted]
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - the project's own requirements
        if code == 0:
            print(f"{len(list(Path(folder).iterdir()))} wheels for Python {version}, by {len(wanted)} requirements")
    return code


if __name__ == "__main__":
    sys.exit(main())
