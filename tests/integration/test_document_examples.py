"""Every Python block of the documents runs as it is printed, and prints what stands below it; fragments compile."""

import ast
import asyncio
import importlib
import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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
            found.append(CodeBlock(f"{document.name}:{line}", match[1], match[2] or ""))
    return found


def fragments() -> list[tuple[str, str]]:
    """Blocks marked `py`: parts of a program, shown for their shape."""
    return [
        (f"{document.name}:{number}", code)
        for document in DOCUMENTS
        for number, code in enumerate(
            re.findall(r"^```py\n(.*?)^```\n", document.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        )
    ]


async def run(code: str) -> tuple[int | None, str, str]:
    # Isolated: it imports what is installed, and nothing that happens to lie in the working directory.
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


def test_the_example_is_the_file_in_examples() -> None:
    example = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    assert example in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("place", "code"), fragments(), ids=[place for place, _ in fragments()])
def test_a_fragment_is_python_and_imports_what_exists(place: str, code: str) -> None:
    compile(code, place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(ast.parse(f"async def fragment():\n{textwrap.indent(code, '    ')}")):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("onesocket"):
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == [], place
