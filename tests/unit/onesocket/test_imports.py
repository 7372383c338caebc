"""The cost of `import onesocket`: each part is imported on its first use."""

import subprocess
import sys

OPTIONAL = {"websockets", "h11", "typer", "rich", "picows", "uvloop", "aiohttp", "backports", "sqlalchemy", "textual"}


def test_the_core_imports_nothing_optional() -> None:
    # Isolated: what is installed, and nothing that happens to lie in the working directory.
    command = [sys.executable, "-I", "-X", "importtime", "-c", "import onesocket"]
    report = subprocess.run(command, capture_output=True, check=True, text=True).stderr  # noqa: S603 - our own
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in report.splitlines()}
    assert "onesocket" in imported
    assert not imported & OPTIONAL


def test_sharing_is_imported_when_it_is_asked_for() -> None:
    script = """
import sys, onesocket
before = "onesocket.sharing" in sys.modules
onesocket.join
print(before, "onesocket.sharing" in sys.modules, hasattr(onesocket, "Nobody"))
"""
    command = [sys.executable, "-I", "-c", script]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout  # noqa: S603 - our own
    assert printed == "False True False\n"
