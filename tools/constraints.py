"""Resolves all dependencies into constraints.txt: ``python -m tools.constraints``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECTS = {
    "onesocket": "[cli,nats,otel,prometheus,redis,testing,uvloop]",
    "onesocket-discord": "[server,postgresql,redis]",
    "onesocket-chat": "",
}
TARGET = Path("constraints.txt")
HEADER = "# The versions that `make setup` installs, for every Python and platform. Made by: make constraints\n"


def main() -> int:
    """Run uv's resolver; returns its exit code."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--group", "dev"]
    for name in PROJECTS:
        command += ["--no-emit-package", name]
    requirements = "".join(f"-e packages/{name}{extras}\n" for name, extras in PROJECTS.items())
    result = subprocess.run(  # noqa: S603 - our own arguments
        [*command, "-"], input=requirements, stdout=subprocess.PIPE, text=True, check=False
    )
    if result.returncode == 0:
        TARGET.write_text(HEADER + result.stdout, "utf-8")
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
