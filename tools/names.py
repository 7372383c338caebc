"""Checks the names and docstrings of the repository by its rules of vocabulary: ``python -m tools.names``.

- A class name stands for one class in each distribution, unless pyproject.toml lists it with a reason. A folder that
  pyproject.toml lists holds namespaces: each public module of it, with the private ones whose names begin with its own.
- No docstring starts with a pronoun as its subject, in the packages as in tests, tools, benchmarks and examples.
  Sentences in BASELINE are excused; ``--shrink`` drops those that are gone.
- A module without a leading underscore in ``packages/*/src`` is in the API reference.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
BASELINE: Final = Path("tools/names_baseline.txt")
REFERENCE: Final = Path("docs/reference/index.md")
PRONOUNS: Final = (
    "what",
    "who",
    "whoever",
    "whether",
    "nobody",
    "somebody",
    "everybody",
    "it",
    "these",
    "those",
    "that",
)
SCRIPTS: Final = ("benchmarks", "examples", "tools")
_PRONOUN_FIRST: Final = re.compile(rf"(?:{'|'.join(PRONOUNS)})\b", re.IGNORECASE)
_FIRST_SENTENCE: Final = re.compile(r".*?[.:;!?](?=\s|$)|.*", re.DOTALL)


@dataclass(frozen=True)
class Docstring:
    """The first sentence of a docstring, and the place where it starts."""

    path: Path
    line: int
    sentence: str


def distributions(root: Path) -> dict[str, list[Path]]:
    """The Python files of each distribution; the tests count as one distribution."""
    folders = {path.name: path / "src" for path in sorted((root / "packages").glob("*"))}
    folders["tests"] = root / "tests"
    return {name: sorted(folder.rglob("*.py")) for name, folder in folders.items()}


def classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    """Classes of a module and classes inside these; a class inside a function has no name outside."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from classes(node)


def namespace(path: Path, folders: Collection[Path]) -> str:
    """The public module that gives a file's classes their namespace: `folder/name`; empty: the whole distribution."""
    if path.parent not in folders:
        return ""
    private = path.stem.removeprefix("_")
    modules = [one.stem for one in path.parent.glob("*.py") if not one.stem.startswith("_")]
    owners = [name for name in modules if private == name or private.startswith(f"{name}_")]
    return f"{path.parent.name}/{max(owners, key=len)}" if owners else ""


def duplicate_classes(
    root: Path, allowed: Sequence[Mapping[str, str]], namespaces: Sequence[Mapping[str, str]] = ()
) -> list[str]:
    """Class names used twice in one namespace without an entry in `allowed`, and entries that excuse nothing."""
    problems: list[str] = []
    excused = {(pair["distribution"], pair["name"]) for pair in allowed if pair["reason"].strip()}
    folders = {root / one["folder"] for one in namespaces if one["reason"].strip()}
    problems += [f"pyproject.toml: {one.relative_to(root)} is no folder" for one in sorted(folders) if not one.is_dir()]
    for distribution, files in distributions(root).items():
        places: dict[tuple[str, str], list[str]] = {}
        for path in files:
            for node in classes(_parse(path)):
                where = f"{path.relative_to(root)}:{node.lineno}"
                places.setdefault((namespace(path, folders), node.name), []).append(where)
        for (_, name), found in places.items():
            if len(found) > 1 and (distribution, name) not in excused:
                problems.append(f"{found[1]}: class {name} has the name of {found[0]}")
        excused -= {(distribution, name) for (_, name), found in places.items() if len(found) > 1}
    problems += [
        f"pyproject.toml: {name} is listed as a pair and is none in {where}" for where, name in sorted(excused)
    ]
    return problems


def docstrings(path: Path) -> Iterator[Docstring]:
    """All docstrings of a file: modules, classes, functions, and strings below attributes."""
    for node in ast.walk(_parse(path)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body[:1] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else node.body
        for statement in body:
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    sentence = _FIRST_SENTENCE.match(text.strip())
                    if sentence is not None:
                        yield Docstring(path, statement.lineno, " ".join(sentence[0].split()))
                case _:
                    pass


def riddles(root: Path) -> list[Docstring]:
    """Docstrings whose first sentence starts with a pronoun."""
    files = [path for paths in distributions(root).values() for path in paths]
    files += [path for folder in SCRIPTS for path in sorted((root / folder).rglob("*.py"))]
    return [one for path in files for one in docstrings(path) if _PRONOUN_FIRST.match(one.sentence)]


def public_modules(root: Path) -> list[str]:
    """Modules in `packages/*/src` without a leading underscore in any part of their dotted names."""
    found: list[str] = []
    for source in sorted((root / "packages").glob("*/src")):
        for path in sorted(source.rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if not any(part.startswith("_") for part in parts):
                found.append(".".join(parts))
    return found


def uncovered_modules(root: Path) -> list[str]:
    """Public modules that the index of the API reference does not name."""
    index = root / REFERENCE
    text = index.read_text("utf-8") if index.is_file() else ""
    return [
        f"{name}: public, and not in {REFERENCE}; start its name with an underscore, or run: make reference"
        for name in public_modules(root)
        if f"`{name}`" not in text
    ]


def settings(root: Path, table: str) -> list[dict[str, str]]:
    """The entries of a table of pyproject.toml: deliberate `pairs` of classes, or `namespaces`."""
    found: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    entries: list[dict[str, str]] = found["tool"]["onesocket-names"].get(table, [])
    return entries


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def _baseline(root: Path) -> list[str]:
    path = root / BASELINE
    return path.read_text("utf-8").splitlines() if path.is_file() else []


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Print each problem; returns 1 if there is one."""
    parser = argparse.ArgumentParser(prog="tools.names", description="Check names and docstrings.")
    parser.add_argument("--shrink", action="store_true", help=f"drop from {BASELINE} the sentences that are gone")
    shrink = parser.parse_args(arguments).shrink
    excused = _baseline(root)
    found = riddles(root)
    left = sorted({one.sentence for one in found} & {*excused})
    if shrink:
        (root / BASELINE).write_text("".join(f"{sentence}\n" for sentence in left), "utf-8")
    problems = duplicate_classes(root, settings(root, "pairs"), settings(root, "namespaces"))
    problems += [
        f"{one.path.relative_to(root)}:{one.line}: the docstring's subject is a pronoun: {one.sentence}"
        for one in found
        if one.sentence not in excused
    ]
    problems += uncovered_modules(root)
    for problem in problems:
        print(problem, file=sys.stderr)
    if left:
        print(f"{len(left)} sentences of {BASELINE} are left to be rewritten")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
