"""Where code begins in random texts: the page, the terminal and the server agree on it."""

import asyncio
import json
import random
import subprocess
from typing import Any

from onesocket_chat.model._markdown import Mark, parse_markdown
from onesocket_discord.protocol._literals import LiteralKind, find_literals
from tests.unit.onesocket_chat.page.test_page_modules import HERE, NODE

_PIECES = ["`", "`", "``", "```", "\\", "\n", "\n> ", "> ", "a", " ", "py\n", "https://a.example/", "**", "*", "||"]
_TYPES = {LiteralKind.BLOCK: "codeblock", LiteralKind.CODE: "code", LiteralKind.ADDRESS: "link"}


async def test_the_page_reads_random_texts_as_the_terminal_and_the_server_do() -> None:
    chosen = random.Random(18)  # the same texts in each run
    texts = ["".join(chosen.choices(_PIECES, k=chosen.randint(1, 22))) for _ in range(2_000)]
    process = await asyncio.create_subprocess_exec(
        str(NODE), str(HERE / "read_code.mjs"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate(json.dumps(texts).encode())
    assert json.loads(output) == [_read(text) for text in texts]


def _read(text: str) -> dict[str, Any]:
    literals, quotes = find_literals(text)
    return {
        "text": text,
        "literals": [[_TYPES[one.kind], one.start, one.end, one.text, one.language] for one in literals],
        "quotes": [list(one) for one in quotes],
        "shown": [run.text for run in parse_markdown(text) if run.marks & (Mark.CODE | Mark.BLOCK)],
    }
