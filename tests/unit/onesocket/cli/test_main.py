"""The entry point of the command."""

import subprocess
import sys


def test_without_typer_the_extra_is_named() -> None:
    script = """
import sys
sys.modules["typer"] = None  # not installed
from onesocket.cli import main
main()
"""
    run = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, check=False, text=True)  # noqa: S603 - our own
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == 'onesocket: the command line needs typer: pip install "onesocket[cli]"\n'
