"""The programs of the reverse proxies: those on the path, or Debian's packages, unpacked into a folder.

Nothing is installed into the system, and no service is started.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PACKAGES: Final[Mapping[str, str]] = {
    "nginx": "usr/sbin/nginx",
    "haproxy": "usr/sbin/haproxy",
    "caddy": "usr/bin/caddy",
}
_VERSION_OPTIONS: Final[Mapping[str, str]] = {"nginx": "-v", "haproxy": "-v", "caddy": "version"}
_SECONDS: Final = 300.0


class NoProxyError(Exception):
    """The program of a proxy can't be had; the text says why."""


def find_programs(folder: Path) -> dict[str, str]:
    """Return the path of each program. Raises `NoProxyError`."""
    search = os.environ.get("PATH", "") + ":/usr/sbin"
    found = {name: shutil.which(name, path=search) or "" for name in PACKAGES}
    if all(found.values()):
        return found
    root = folder / "root"
    if not all((root / place).exists() for place in PACKAGES.values()):
        _unpack(folder, root)
    return {name: path or str(root / PACKAGES[name]) for name, path in found.items()}


def environment(folder: Path) -> dict[str, str]:
    """Return the environment variables for the programs."""
    libraries = ":".join(str(path) for path in (folder / "root" / "usr" / "lib").glob("*-linux-gnu*"))
    return {**os.environ, "LD_LIBRARY_PATH": libraries, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "caddy")}


def version(name: str, path: str, folder: Path) -> str:
    """Return the version of a program."""
    done = subprocess.run(  # noqa: S603
        [path, _VERSION_OPTIONS[name]], env=environment(folder), capture_output=True, text=True, check=True
    )
    words = (done.stdout + done.stderr).replace("nginx/", "").split()
    return next(word for word in words if word.lstrip("v")[:1].isdigit()).lstrip("v")


def _unpack(folder: Path, root: Path) -> None:
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    apt = ["apt-get", "--yes", "--quiet", "--no-install-recommends", "-o", "Debug::NoLocking=1"]
    _run([*apt, "update"])
    _run([*apt, "--download-only", "-o", f"Dir::Cache::archives={archives}", "install", *PACKAGES])
    for archive in archives.glob("*.deb"):
        _run(["dpkg-deb", "--extract", str(archive), str(root)])
    missing = [name for name, place in PACKAGES.items() if not (root / place).exists()]
    if missing:
        raise NoProxyError(f"not in Debian's packages: {', '.join(missing)}; install it, so that it is on the path")


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoProxyError(f"{command[0]} is needed for nginx, HAProxy and Caddy, and failed: {error}") from error
    if done.returncode:
        raise NoProxyError(f"{' '.join(command)} failed: {done.stderr.strip()[-600:]}")
