"""Writes the API reference from the public modules' names and docstrings: ``python -m tools.reference``.

``--check`` changes nothing, and exits with 1 if a page is stale.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import griffe

from tools.names import REFERENCE, public_modules

ROOT: Final = Path(__file__).resolve().parent.parent
FIX_COMMAND: Final = "make reference"
_NOTE: Final = f"<!-- Made by: {FIX_COMMAND} -->"
_WIDTH: Final = 100
_RECORD: Final = "onesocket._record.record"
_MARKERS: Final = {
    griffe.ParameterKind.var_positional: "*",
    griffe.ParameterKind.var_keyword: "**",
}

Entry = griffe.Class | griffe.Function | griffe.Attribute


class _Records(griffe.Extension):
    """Takes `record` of the library for what it is, the decorator of a dataclass."""

    def on_class_instance(self, *, cls: griffe.Class, **_: object) -> None:
        """Let a record's decorator name `dataclass`."""
        for decorator in cls.decorators:
            called = decorator.value.function if isinstance(decorator.value, griffe.ExprCall) else decorator.value
            if isinstance(called, griffe.ExprName) and called.canonical_path == _RECORD:
                called.name, called.parent = "dataclass", "dataclasses"


class Reference:
    """The pages of all public modules; a name that two modules export is described where its path is shortest."""

    def __init__(self, sources: Sequence[Path], modules: Iterable[str]) -> None:
        extensions = griffe.load_extensions(_Records)
        loader = griffe.GriffeLoader(extensions=extensions, search_paths=sources, allow_inspection=False)
        names = sorted(modules)
        for package in dict.fromkeys(name.partition(".")[0] for name in names):
            loader.load(package)
        loader.resolve_aliases(implicit=True, external=False)
        self._modules = {name: loader.modules_collection[name] for name in names}
        self._exports = {name: dict(_exports(module)) for name, module in self._modules.items()}
        self._homes: dict[str, str] = {}
        """The page of each described object, by its canonical path."""
        for name in sorted(names, key=lambda name: (name.count("."), name)):
            for entry in self._exports[name].values():
                self._homes.setdefault(entry.canonical_path, name)

    def pages(self) -> dict[str, str]:
        """The text of each page by its file name; the index has all modules, also those that export nothing."""
        pages = {f"{name}.md": self._page(name) for name, exports in self._exports.items() if exports}
        return {REFERENCE.name: self._index(), **pages}

    def _index(self) -> str:
        lines = ["# API reference", _NOTE, ""]
        lines += ["All public modules. What they don't export is private, and changes without notice.", ""]
        lines += ["| module | |", "|---|---|"]
        for name, module in self._modules.items():
            shown = f"[`{name}`]({name}.md)" if self._exports[name] else f"`{name}` (exports nothing)"
            lines.append(f"| {shown} | {_summary(module).replace('|', chr(92) + '|')} |")
        return "\n".join(lines) + "\n"

    def _page(self, name: str) -> str:
        lines = [f"# `{name}`", _NOTE, "", *_text(self._modules[name]), ""]
        elsewhere: list[str] = []
        for exported, entry in self._exports[name].items():
            home = self._homes[entry.canonical_path]
            if home == name:
                lines += [f"## `{exported}`", *self._entry(exported, entry), ""]
            else:
                elsewhere.append(f"[`{exported}`]({home}.md#{exported.lower()})")
        if elsewhere:
            lines += [f"Also exported, and described elsewhere: {', '.join(elsewhere)}.", ""]
        return "\n".join(lines).rstrip() + "\n"

    def _entry(self, name: str, entry: Entry) -> Iterator[str]:
        yield "```text"
        if isinstance(entry, griffe.Function):
            yield from _signatures(name, entry)
        elif isinstance(entry, griffe.Class):
            bases = [str(base).rpartition(".")[2] for base in entry.bases]
            yield f"class {name}({', '.join(bases)})" if bases else f"class {name}"
            if parameters := list(_parameters(entry.parameters, entry)):
                yield _call(name, parameters, "")
        else:
            yield "".join([name, *_part(": ", entry.annotation), *_part(" = ", entry.value)])
        yield "```"
        yield from _text(entry)
        if isinstance(entry, griffe.Class):
            members = list(self._members(entry))
            if members:
                yield ""
            yield from members

    def _members(self, entry: griffe.Class) -> Iterator[str]:
        """A list of the public members; those of a base class only if the base is not described itself."""
        for name, member in entry.all_members.items():
            target = member.final_target if isinstance(member, griffe.Alias) else member
            if (
                name.startswith("_")
                or target.parent is None
                or not isinstance(target, griffe.Function | griffe.Attribute)
            ):
                continue
            if target.parent.canonical_path in self._homes and target.parent.canonical_path != entry.canonical_path:
                continue
            if isinstance(target, griffe.Function):
                shown = "`, `".join(_signatures(name, target, width=None))
            elif _is_member_of_enum(entry, target):
                shown = f"{name} = {target.value}"
            elif target.annotation is not None or target.docstring is not None:
                shown = name if target.annotation is None else f"{name}: {target.annotation}"
            else:
                continue
            summary = _summary(target)
            yield f"- `{shown}`{': ' if summary else ''}{summary}"


def _exports(module: griffe.Module) -> Iterator[tuple[str, Entry]]:
    """The names in `__all__`, or else the public names that the module itself defines."""
    names = module.exports
    for name in sorted(map(str, names)) if names is not None else list(module.members):
        member = module.members[name]
        if name.startswith("_") or (names is None and (member.is_alias or _is_type_variable(member))):
            continue
        target = member.final_target if isinstance(member, griffe.Alias) else member
        if isinstance(target, griffe.Class | griffe.Function | griffe.Attribute):
            yield name, target


def _is_type_variable(member: griffe.Object | griffe.Alias) -> bool:
    return isinstance(member, griffe.Attribute) and str(member.value).startswith("TypeVar(")


def _signatures(name: str, function: griffe.Function, width: int | None = _WIDTH) -> Iterator[str]:
    """One call for each overload; over several lines if it is longer than `width`.

    A function of a module whose overloads sum up their keywords is shown with all of them instead, as a constructor is.
    """
    name = f"async {name}" if "async" in function.labels else name
    calls = function.overloads or [function]
    if isinstance(function.parent, griffe.Module) and any(map(_sums_up_keywords, calls)):
        calls = [function]
    for one in calls:
        yield _call(name, list(_parameters(one.parameters, function)), "".join(_part(" -> ", one.returns)), width)


def _sums_up_keywords(function: griffe.Function) -> bool:
    return any(one.kind is griffe.ParameterKind.var_keyword for one in function.parameters)


def _call(name: str, parameters: Sequence[str], returns: str, width: int | None = _WIDTH) -> str:
    line = f"{name}({', '.join(parameters)}){returns}"
    if width is None or len(line) <= width:
        return line
    return "\n".join([f"{name}(", *(f"    {parameter}," for parameter in parameters), f"){returns}"])


def _part(before: str, value: griffe.Expr | str | None) -> list[str]:
    return [] if value is None else [f"{before}{value}"]


def _parameters(parameters: griffe.Parameters, owner: Entry) -> Iterator[str]:
    """Each parameter with its type and default, and the separators between the kinds; without `self`."""
    shown = [one for index, one in enumerate(parameters) if index or one.name not in {"self", "cls"}]
    shown = [one for one in shown if not one.name.startswith("_")]
    previous: griffe.ParameterKind | None = None
    for one in shown:
        if previous is griffe.ParameterKind.positional_only and one.kind is not previous:
            yield "/"
        if one.kind is griffe.ParameterKind.keyword_only and previous not in {
            one.kind,
            griffe.ParameterKind.var_positional,
        }:
            yield "*"
        previous = one.kind
        marker = _MARKERS.get(one.kind, "") if one.kind is not None else ""
        default = None if one.default is None or marker else _default(str(one.default), owner)
        equals = "=" if one.annotation is None else " = "
        yield "".join([marker, one.name, *_part(": ", one.annotation), *_part(equals, default)])
    if previous is griffe.ParameterKind.positional_only:
        yield "/"


def _default(text: str, owner: Entry) -> str:
    """The value of a private constant of the module instead of its name."""
    constant = owner.module.members.get(text) if text.startswith("_") else None
    if isinstance(constant, griffe.Attribute) and constant.value is not None:
        return str(constant.value)
    return text


def _is_member_of_enum(entry: griffe.Class, attribute: griffe.Attribute) -> bool:
    return attribute.value is not None and any("Enum" in str(base) or "Flag" in str(base) for base in entry.bases)


def _text(entry: griffe.Object) -> list[str]:
    """The docstring as Markdown: the parameters as a list, and a session of the interpreter between fences."""
    text = entry.docstring.value.strip() if entry.docstring is not None else ""
    before, heading, parameters = text.partition("\n\nParameters:\n")
    parts = re.split(r"\n\n(?=>>> )", before)
    fenced = ["```text\n{}\n```\n{}".format(*re.split(r"\n(?=\n)|\Z", part, maxsplit=1)) for part in parts[1:]]
    listed = re.sub(r"^    ([*\w]+):", r"- `\1`:", parameters, flags=re.MULTILINE)
    listed = re.sub(r"^     +", "  ", listed, flags=re.MULTILINE)
    return "\n\n".join([parts[0], *fenced, *filter(None, [heading.strip(), listed])]).splitlines()


def _summary(entry: griffe.Object) -> str:
    """The first paragraph of the docstring, as one line."""
    return " ".join("\n".join(_text(entry)).partition("\n\n")[0].split())


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write the pages, or compare them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tools.reference", description="Write the API reference.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a page is stale")
    check = parser.parse_args(arguments).check
    modules = public_modules(root)
    pages = Reference(sorted((root / "packages").glob("*/src")), modules).pages()
    folder = root / REFERENCE.parent
    found = {path.name: path.read_text("utf-8") for path in folder.glob("*.md")} if folder.is_dir() else {}
    stale = sorted(name for name in pages.keys() | found.keys() if pages.get(name) != found.get(name))
    if check:
        for name in stale:
            print(f"{REFERENCE.parent / name}: not what the modules say; run: {FIX_COMMAND}", file=sys.stderr)
        return 1 if stale else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in pages:
            (folder / name).write_text(pages[name], "utf-8")
        else:
            (folder / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
