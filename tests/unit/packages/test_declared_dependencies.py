"""Each distribution declares every distribution that its modules import, in its dependencies or in the right extra."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[3] / "packages"
EXTRAS: dict[str, dict[str, tuple[str, ...]]] = {
    "onesocket": {
        "cli": ("cli", "notices"),
        "nats": ("sharing/cluster/_nats_connection",),
        "otel": ("instruments/_opentelemetry", "instruments/_traces"),
        "prometheus": ("instruments/_prometheus",),
        "redis": ("sharing/cluster/_redis_client", "sharing/cluster/_redis_errors"),
        "testing": ("testing",),
    },
    "onesocket-discord": {"server": ("server", "cli")},
    "onesocket-chat": {},
}
"""The parts of a distribution that may import what an extra brings."""
EXTRAS_OF_ONESOCKET = {"onesocket.cli": "cli", "onesocket.testing": "testing"}
"""The packages of onesocket that can't be imported without an extra."""
NEVER_IMPORTED = {"aiosqlite", "asyncpg", "uvloop"}
"""Loaded by another library (SQLAlchemy), or chosen by the program."""
LOADED_BY_PYTEST = ("pytest_plugin",)
PYTEST = {"pytest", "pytest-asyncio"}


def normalized(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def extras_of(requirement: str) -> set[str]:
    """The extras in ``name[one,two]==1``."""
    found = re.search(r"\[([^\]]*)\]", requirement)
    return set() if found is None else {one.strip() for one in found[1].split(",")}


def executed_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those below ``if TYPE_CHECKING:``."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from executed_nodes(child)


def imported_modules(file: Path) -> Iterator[str]:
    for node in executed_nodes(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_distributions(file: Path, owners: dict[str, set[str]]) -> Iterator[set[str]]:
    """For each import that is not the standard library's: the distributions that hold it."""
    for module in imported_modules(file):
        top = module.partition(".")[0]
        if top == "backports":  # a namespace of many distributions
            if module.count(".") == 1:
                yield {normalized(module)}
        elif top not in sys.stdlib_module_names | {"compression"}:  # Python 3.14's
            yield owners.get(top, {normalized(top)})


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_every_import_is_declared(name: str) -> None:
    project = tomllib.loads((PACKAGES / name / "pyproject.toml").read_text("utf-8"))["project"]
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})
    owners = {top: {normalized(one) for one in held} for top, held in packages_distributions().items()}
    root = PACKAGES / name / "src" / name.replace("-", "_")
    undeclared: set[str] = set()
    for file in root.rglob("*.py"):
        place = str(file.relative_to(root).with_suffix("")).replace("\\", "/")
        declared = {name, *map(normalized, project["dependencies"])}
        for extra, parts in EXTRAS[name].items():
            if any(place == part or place.startswith(f"{part}/") for part in parts):
                declared |= set(map(normalized, extras[extra]))
        if place in LOADED_BY_PYTEST:
            declared |= PYTEST
        undeclared |= {
            f"{place} imports {sorted(held)}" for held in imported_distributions(file, owners) if not held & declared
        }
    assert not undeclared


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_every_declared_dependency_is_imported(name: str) -> None:
    project = tomllib.loads((PACKAGES / name / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [*project["dependencies"], *chain.from_iterable(project.get("optional-dependencies", {}).values())]
    owners = {top: {normalized(one) for one in held} for top, held in packages_distributions().items()}
    files = (PACKAGES / name / "src").rglob("*.py")
    imported = {one for file in files for held in imported_distributions(file, owners) for one in held}
    assert set(map(normalized, declared)) - imported <= NEVER_IMPORTED


@pytest.mark.parametrize("name", sorted(set(EXTRAS) - {"onesocket"}))
def test_extras_of_onesocket_are_required_where_they_are_needed(name: str) -> None:
    project = tomllib.loads((PACKAGES / name / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = [*project["dependencies"], *chain.from_iterable(project.get("optional-dependencies", {}).values())]
    given = {extra for one in requirements if normalized(one) == "onesocket" for extra in extras_of(one)}
    root = PACKAGES / name / "src" / name.replace("-", "_")
    needed = {
        extra
        for file in root.rglob("*.py")
        for module in imported_modules(file)
        for package, extra in EXTRAS_OF_ONESOCKET.items()
        if module == package or module.startswith(f"{package}.")
    }
    assert needed <= given
