"""Checks the names, files and errors that the documents mention against the code."""

import dataclasses
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import onesocket
from onesocket import errors
from onesocket.cli._app import app
from onesocket.cli._status import FIELDS
from onesocket.lifecycle._states import State
from onesocket.sharing.host._listing import Listing
from onesocket.testing import Counts, Fault

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """Return every row of every table."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def subclasses(kind: type[errors.OnesocketError]) -> list[type[errors.OnesocketError]]:
    return [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]


def all_errors(kind: type[errors.OnesocketError] = errors.OnesocketError) -> Iterator[type[errors.OnesocketError]]:
    yield kind
    for child in subclasses(kind):
        yield from all_errors(child)


def tree(kind: type[errors.OnesocketError], indent: str = "") -> Iterator[str]:
    children = subclasses(kind)
    for child in children:
        last = child is children[-1]
        yield f"{indent}{'└── ' if last else '├── '}{child.__name__}"
        yield from tree(child, indent + ("    " if last else "│   "))


def test_the_error_tree_is_drawn_as_it_is() -> None:
    assert "\n".join(["OnesocketError", *tree(errors.OnesocketError)]) in read("docs/errors.md")


def test_every_error_has_one_row_that_says_whether_it_is_retryable() -> None:
    said = {row[0].strip("`"): row[2] for row in rows(read("docs/errors.md")) if row[0].startswith("`")}
    named = {kind.__name__: kind for kind in all_errors() if kind is not errors.OnesocketError}
    assert said.keys() == named.keys()
    for name, kind in named.items():
        assert said[name].startswith("yes" if kind.retryable else "no"), name
        for base in (ValueError, ImportError, RuntimeError, LookupError, TimeoutError):
            row = next(row for row in rows(read("docs/errors.md")) if row[0] == f"`{name}`")
            assert (f"`{base.__name__}`" in row[1]) == issubclass(kind, base), (name, base)


def test_every_error_of_the_distribution_is_in_one_module() -> None:
    for module in pkgutil.walk_packages(onesocket.__path__, "onesocket."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def defined_elsewhere(kind: type[errors.OnesocketError]) -> Iterator[str]:
        for child in kind.__subclasses__():
            if child.__module__.startswith("onesocket.") and child.__module__ != errors.__name__:
                yield child.__qualname__
            yield from defined_elsewhere(child)

    # Raised and caught inside of the provider.
    assert set(defined_elsewhere(errors.OnesocketError)) == {"Superseded"}


def test_every_state_has_a_row_in_the_lifecycle() -> None:
    states, _, results = read("docs/lifecycle.md").partition("## What `connect()` does")
    assert [row[0] for row in rows(states) if row[0].startswith("`")] == [f"`{state.name}`" for state in State]
    first_cells = " ".join(row[0] for row in rows(results.partition("\n## ")[0]))
    assert [state.name for state in State if f"`{state.name}`" not in first_cells] == []


def test_every_page_is_in_the_index_once() -> None:
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name != "index.md")
    linked = re.findall(r"^- \[[^\]]+\]\(([a-z-]+\.md)\):", read("docs/index.md"), re.MULTILINE)
    assert sorted(linked) == pages


def test_every_fault_and_counter_is_described() -> None:
    cells = " ".join(row[0] for row in rows(read("docs/testing.md")))
    faults = {name for name, made in vars(Fault).items() if isinstance(made, classmethod)}
    assert faults <= set(re.findall(r"`(\w+)\(", cells))
    assert set(Counts.__dataclass_fields__) <= set(re.findall(r"`(\w+)`", cells))


def test_every_module_that_the_architecture_names_exists() -> None:
    package = ROOT / "packages" / "onesocket" / "src" / "onesocket"
    described: list[str] = []
    for line in read("ARCHITECTURE.md").splitlines():
        paths = re.findall(r"`((?:[a-z_]+/)*(?:[a-z_]+\.py|[a-z_]+/))`", line)
        folder = paths[0] if paths and line.startswith("| `") and paths[0].endswith("/") else ""
        # A row of a folder names modules of that folder.
        described += [path if "/" in path else folder + path for path in paths]
    assert len(described) > 50
    assert [path for path in described if not (package / path).exists() and not (ROOT / path).exists()] == []


def test_the_architecture_describes_every_package() -> None:
    text = read("ARCHITECTURE.md")
    for source in sorted((ROOT / "packages").glob("*/src/*")):
        folders = {path.parent for path in source.rglob("*.py")} - {source}
        for folder in folders:
            name = folder.relative_to(source if source.name == "onesocket" else ROOT)
            assert f"`{name}/`" in text, name


def test_every_command_that_is_mentioned_exists() -> None:
    commands = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    commands |= {group.name for group in app.registered_groups if group.name is not None}
    for document in DOCUMENTS:
        if document.name == "CHANGELOG.md":  # names what was removed, too
            continue
        used = set(re.findall(r"^onesocket ([a-z]+)|`onesocket ([a-z]+)", document.read_text("utf-8"), re.MULTILINE))
        assert {name for pair in used for name in pair if name} <= commands, document.name


def test_every_call_that_is_shown_needs_no_other_import() -> None:
    used = {name for path in DOCUMENTS for name in re.findall(r"\bonesocket((?:\.\w+)+)\(", path.read_text("utf-8"))}
    assert {".join", ".blocking.join"} <= used
    script = "import onesocket\n" + "".join(f"onesocket{name}\n" for name in sorted(used))
    subprocess.run([sys.executable, "-I", "-c", script], check=True)  # noqa: S603 - our own


def test_no_document_uses_a_name_that_was_replaced() -> None:
    table = read("CHANGELOG.md").partition("| before | now |")[2]
    replaced = {name for row in rows(table) for name in re.findall(r"`([A-Z]\w+)`", row[0])}
    current = {name for row in rows(table) for name in re.findall(r"`(?:\w+\.)*([A-Z]\w+)`", row[1])}
    assert {"Link", "LineLost"} <= replaced
    for document in (path for path in DOCUMENTS if path.name != "CHANGELOG.md"):
        named = set(re.findall(r"`([A-Z]\w+)[`(\[]", document.read_text("utf-8")))
        assert named & (replaced - current) == set(), document.name


def anchors(path: Path) -> set[str]:
    """Return the anchors of all headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", document.read_text(encoding="utf-8")):
        target = document.parent / link if link else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


def test_the_fields_of_status_are_listed() -> None:
    listed = [name for row in rows(read("docs/hub.md")) for name in re.findall(r"`(\w+)`", row[0])]
    assert [name for name in listed if name in FIELDS] == list(FIELDS)
    shared = {field.name for field in dataclasses.fields(Listing)}
    assert set(FIELDS) - shared == {"kind", "listen"}


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "packages").iterdir()))
def test_it_is_said_how_each_distribution_is_installed_from_a_checkout(name: str) -> None:
    texts = [document.read_text("utf-8") for document in DOCUMENTS]
    assert any(re.search(rf"install [^\n]*packages/{name}(?![\w-])", text) for text in texts)


def test_the_first_example_of_a_cluster_imports_what_it_uses() -> None:
    (example, *_) = re.findall(r"^```py\n(.*?)^```", read("docs/cluster.md"), re.DOTALL | re.MULTILINE)
    imported: dict[str, object] = {}
    exec("\n".join(line for line in example.splitlines() if re.match("import |from ", line)), imported)  # noqa: S102 - our own document
    assert {"onesocket", "RedisCoordinator"} <= imported.keys()


def test_the_parts_of_the_chat_are_where_its_document_says() -> None:
    chat = ROOT / "packages/onesocket-chat/src/onesocket_chat"
    table = read("docs/chat.md").partition("| in `onesocket_chat` |")[2].partition("\n\n")[0]
    for place, parts, *_ in rows(table)[1:]:
        for name in re.findall(r"`([^`]+)`", place):
            assert (chat / name).exists(), name
        if place.endswith("/`") and "," not in place:
            assert all((chat / place.strip("`") / name).is_dir() for name in re.findall(r"`(\w+/)`", parts)), place
