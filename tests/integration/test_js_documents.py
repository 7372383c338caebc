"""The examples of docs/browser.md run, and print the text below them."""

import asyncio
import json
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
OTHERS = re.findall(r"```javascript\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
SHOW = (
    "const show = (item) => { console.log(JSON.stringify(item)); process.exit(0); };\nconst session = {ticket: 't'};\n"
)
ITEM = {"symbol": "AAPL", "price": 1}


def test_the_page_has_examples() -> None:
    assert (len(EXAMPLES), len(OTHERS)) == (3, 7)


def adapted(code: str, url: str) -> str:
    return code.replace("'onesocket'", f"'{INDEX}'").replace("wss://feed.example/", url)


@pytest.mark.parametrize(("code", "printed"), EXAMPLES)
async def test_an_example_prints_what_the_page_says(
    code: str, printed: str, server: FaultyServer, tmp_path: Path
) -> None:
    script = tmp_path / "example.mjs"
    script.write_text(adapted(code, server.url).replace("orders.db", str(tmp_path / "orders.db")), "utf-8")
    process = await asyncio.create_subprocess_exec(
        NODE, str(script), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(DEADLINE):
        output, _ = await process.communicate()
    assert output.decode() == printed
    assert server.counts.most_open == 1


async def test_examples_that_show_what_comes_show_it(server: FaultyServer, tmp_path: Path) -> None:
    # A test in a browser has a worker as the fifth, and an outbox as the last one.
    subscriptions, rotation, feed, tab, _, bundled, _ = OTHERS
    bundled = f"import {{ join }} from 'onesocket';\n{bundled}for await (const message of client) show(message);\n"
    (tmp_path / "feed.js").write_text(adapted(feed, server.url), "utf-8")
    connects = "await client.connect();\nfor await"
    for number, code in enumerate([subscriptions, rotation, tab, bundled]):
        script = tmp_path / f"example{number}.mjs"
        # Where the text leaves it out, the client is connected.
        whole = code if "connect()" in code else code.replace("for await", connects)
        script.write_text(SHOW + adapted(whole, server.url), "utf-8")
        process = await asyncio.create_subprocess_exec(
            NODE, str(script), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        await server.wait_until(lambda counts, number=number: counts.upgraded == number + 1)  # type: ignore[misc]
        if code is subscriptions:
            await server.wait_until(lambda counts: counts.messages_received == 1)
            assert json.loads(server.received[-1]) == {"op": "subscribe", "args": ["AAPL", "MSFT"]}
        await server.send(json.dumps(ITEM))
        async with asyncio.timeout(DEADLINE):
            output, _ = await process.communicate()
        assert [json.loads(line) for line in output.decode().splitlines()] == [ITEM]
        await server.wait_until(lambda counts: counts.open_now == 0)
    assert server.counts.most_open == 1
