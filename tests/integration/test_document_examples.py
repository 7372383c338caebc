"""Checks that every Python block of the documents runs and prints the output below, and that fragments compile."""

import ast
import asyncio
import importlib
import os
import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from onesocket.testing import FaultyConnection, FaultyServer

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *sorted((ROOT / "packages").glob("*/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples" / "webapp" / "README.md",
]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:(?:It prints\n)?```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
FRAGMENT = re.compile(r"^```py\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
DEADLINE = 30


class CodeBlock(NamedTuple):
    """A Python block, and the output that is printed below it (nothing: it prints nothing)."""

    place: str
    code: str
    output: str


def blocks() -> list[CodeBlock]:
    found: list[CodeBlock] = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(CodeBlock(f"{document.relative_to(ROOT)}:{line}", match[1], match[2] or ""))
    return found


def fragments() -> list[tuple[str, str]]:
    """Return the blocks marked `py`, which are parts of a program."""
    return [
        (f"{document.relative_to(ROOT)}:{number}", code)
        for document in DOCUMENTS
        for number, code in enumerate(FRAGMENT.findall(document.read_text("utf-8")))
    ]


async def run(code: str) -> tuple[int | None, str, str]:
    # Isolated: installed packages can be imported, files of the working directory can't.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-W", "error", "-c", code),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.place)
async def test_it_runs_and_prints_what_is_said(block: CodeBlock) -> None:
    assert await run(block.code) == (0, block.output, "")


def test_no_block_is_overlooked() -> None:
    opened = sum(document.read_text(encoding="utf-8").count("```python") for document in DOCUMENTS)
    assert len(blocks()) == opened >= 9
    for block in blocks():
        assert block.output or "assert " in block.code, f"{block.place} shows nothing"


def test_all_imports_are_of_public_modules() -> None:
    private = re.compile(r"^\s*(?:from|import) +onesocket\S*\._.*", re.MULTILINE)
    shown = [(block.place, block.code) for block in blocks()] + fragments()
    assert [(place, found) for place, code in shown for found in private.findall(code)] == []


@pytest.mark.parametrize(
    ("name", "document"), [("quickstart.py", "docs/get-started.md"), ("shared_feed.py", "README.md")]
)
def test_the_example_is_the_file_in_examples(name: str, document: str) -> None:
    example = (ROOT / "examples" / name).read_text(encoding="utf-8")
    code = example[example.index("import ") :] if name == "shared_feed.py" else example  # its docstring is prose there
    assert f"\n{code}```\n" in (ROOT / document).read_text(encoding="utf-8")


async def tick(connection: FaultyConnection) -> None:
    """Send the same message again and again."""
    while True:
        await connection.send("tick")
        await asyncio.sleep(0.01)


async def test_tasks_threads_and_processes_of_the_readme_share_one_connection(tmp_path: Path) -> None:
    wanted = {b"task: tick\n", b"thread: tick\n"}
    async with FaultyServer(handler=tick) as server:
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-W", "error", str(ROOT / "examples" / "shared_feed.py"), server.url),
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"ONESOCKET_RUNTIME_DIR": str(tmp_path)},
            )
            for _ in range(3)
        ]
        try:
            async with asyncio.timeout(DEADLINE):
                for process in processes:
                    assert process.stdout is not None
                    seen: set[bytes] = set()
                    while not wanted <= seen:
                        seen.add(await process.stdout.readline())
            assert (server.counts.handshakes, server.counts.most_sockets) == (1, 1)
        finally:
            for process in processes:
                process.kill()
                await process.communicate()


@pytest.mark.parametrize(("place", "code"), fragments(), ids=[place for place, _ in fragments()])
def test_a_fragment_is_python_and_imports_what_exists(place: str, code: str) -> None:
    compile(code, place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(ast.parse(f"async def fragment():\n{textwrap.indent(code, '    ')}")):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("onesocket"):
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == [], place
