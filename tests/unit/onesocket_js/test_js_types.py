"""The types of the JavaScript package name what it exports; `make js` has the compiler check them."""

import asyncio
import json
import re
from pathlib import Path

from onesocket.testing import FaultyServer
from tests.support.node_script import NODE, run_script
from tests.support.terminals import ROOT
from tests.support.waiting import DEADLINE

INDEX = ROOT / "packages" / "onesocket-js" / "src" / "index.js"

TYPES = ROOT / "packages" / "onesocket-js" / "types" / "index.d.ts"
DECLARED = re.compile(r"^export declare (?:abstract )?(?:class|const|function) (\w+)", re.MULTILINE)
TYPE = re.compile(r"^export (?:interface|type) (\w+)", re.MULTILINE)
PROGRAM = ROOT / "tests" / "js" / "every_export.ts"
IMPORTED = re.compile(r"import \{(.*?)\} from 'onesocket';", re.DOTALL)
CLASS = re.compile(r"^export declare (?:abstract )?class (\w+)[^\n]*\{(\}$|.*?^\}$)", re.MULTILINE | re.DOTALL)
MEMBER = re.compile(r"^  (?:readonly |abstract )?(\w+)[?(<:]", re.MULTILINE)


def test_the_types_have_every_export_and_no_other() -> None:
    declared = {*DECLARED.findall(TYPES.read_text("utf-8"))}  # one with several signatures is there several times
    assert len(declared) > 60
    assert sorted(declared) == sorted(json.loads(run_script("list_exports.mjs")))


def test_the_members_that_classes_declare_exist() -> None:
    classes = {name: MEMBER.findall(body) for name, body in CLASS.findall(TYPES.read_text("utf-8"))}
    assert {"Client", "Provider", "Subscription", "Notices"} <= set(classes)
    missing = json.loads(run_script("list_exports.mjs", stdin=json.dumps(classes)))
    assert missing == []


def test_one_program_in_strict_typescript_uses_every_export() -> None:
    names = IMPORTED.findall(PROGRAM.read_text("utf-8"))[0].replace("type ", "").split(",")
    types = TYPE.findall(TYPES.read_text("utf-8"))
    assert {name.strip() for name in names if name.strip()} == {*DECLARED.findall(TYPES.read_text("utf-8")), *types}


async def test_that_program_runs(tmp_path: Path) -> None:
    script = tmp_path / "program.mts"
    script.write_text(PROGRAM.read_text("utf-8").replace("'onesocket'", f"'{INDEX}'"), "utf-8")
    async with FaultyServer() as server:
        process = await asyncio.create_subprocess_exec(
            NODE, str(script), server.url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(DEADLINE):
            output, _ = await process.communicate()
        assert output.decode() == "done\n"
        assert server.counts.most_open == 2  # during the rotation
        assert server.counts.open_now == 0
