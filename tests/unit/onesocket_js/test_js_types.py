"""The types of the JavaScript package name what it exports; `make js` has the compiler check them."""

import json
import re

from tests.support.node_script import run_script
from tests.support.terminals import ROOT

TYPES = ROOT / "packages" / "onesocket-js" / "types" / "index.d.ts"
DECLARED = re.compile(r"^export declare (?:abstract )?(?:class|const|function) (\w+)", re.MULTILINE)
CLASS = re.compile(r"^export declare (?:abstract )?class (\w+)[^\n]*\{(\}$|.*?^\}$)", re.MULTILINE | re.DOTALL)
MEMBER = re.compile(r"^  (?:readonly |abstract )?(\w+)[?(<:]", re.MULTILINE)


def test_the_types_have_every_export_and_no_other() -> None:
    declared = DECLARED.findall(TYPES.read_text("utf-8"))
    assert len(declared) > 60
    assert sorted(declared) == sorted(json.loads(run_script("list_exports.mjs")))


def test_the_members_that_classes_declare_exist() -> None:
    classes = {name: MEMBER.findall(body) for name, body in CLASS.findall(TYPES.read_text("utf-8"))}
    assert {"Client", "Provider", "Subscription", "Notices"} <= set(classes)
    missing = json.loads(run_script("list_exports.mjs", stdin=json.dumps(classes)))
    assert missing == []
