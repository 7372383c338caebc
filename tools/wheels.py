"""Checks that each dependency can be had as a wheel for another Python: ``python -m tools.wheels 3.14``.

pip evaluates environment markers for the interpreter it runs on, so the requirements are chosen here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).resolve().parent.parent


def requirements(texts: Iterable[str], version: str, own: Iterable[str]) -> list[str]:
    """The requirements, without markers, that hold on this version of Python and are not our `own` distributions."""
    environment = {"python_version": version, "python_full_version": f"{version}.0"}
    found: set[str] = set()
    for text in texts:
        requirement = Requirement(text)
        if requirement.name in own or (requirement.marker and not requirement.marker.evaluate(environment)):
            continue
        requirement.marker = None
        found.add(str(requirement))
    return sorted(found)


def declared(root: Path) -> tuple[list[str], list[str]]:
    """All that the distributions require, extras and the test group included, and the distributions' own names."""
    texts: list[str] = list(_read(root / "pyproject.toml")["dependency-groups"]["tests"])
    own: list[str] = []
    for path in sorted((root / "packages").glob("*/pyproject.toml")):
        project = _read(path)["project"]
        own.append(project["name"])
        texts += project["dependencies"]
        texts += [text for extra in project.get("optional-dependencies", {}).values() for text in extra]
    return texts, own


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Download the wheels into a folder that is removed again; returns pip's exit code."""
    (version,) = sys.argv[1:] if arguments is None else arguments
    texts, own = declared(ROOT)
    wanted = requirements(texts, version, own)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--python-version", version, "--only-binary=:all:", "--dest", folder, *wanted]
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - the projects' own requirements
        if code == 0:
            print(f"{len(list(Path(folder).iterdir()))} wheels for Python {version}, by {len(wanted)} requirements")
    return code


if __name__ == "__main__":
    sys.exit(main())
