"""The examples of docs/browser.md run, and print the text below them."""

import asyncio
import re
from pathlib import Path

import pytest

from onesocket.testing import FaultyServer
from tests.support.node_script import NODE
from tests.support.terminals import ROOT
from tests.support.waiting import DEADLINE

PAGE = ROOT / "docs" / "browser.md"
INDEX = ROOT / "packages" / "onesocket-js" / "src" / "index.js"
EXAMPLES = re.findall(r"```js\n(.*?)```\n```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize(("code", "printed"), EXAMPLES)
async def test_an_example_prints_what_the_page_says(
    code: str, printed: str, server: FaultyServer, tmp_path: Path
) -> None:
    script = tmp_path / "example.mjs"
    script.write_text(code.replace("'onesocket'", f"'{INDEX}'").replace("wss://feed.example/", server.url), "utf-8")
    process = await asyncio.create_subprocess_exec(
        NODE, str(script), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(DEADLINE):
        output, _ = await process.communicate()
    assert output.decode() == printed
    assert server.counts.most_open == 1
