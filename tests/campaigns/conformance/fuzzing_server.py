"""Autobahn's fuzzing server and fuzzing client: installed into a folder of its own, and run on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

VERSION: Final = "25.10.1"
"""Of autobahntestsuite; like every release of it, for Python 2.7 only."""

_START_SECONDS: Final = 30.0
# `pip install --target` makes no site directory, and zope.interface is found through a .pth file. The test suite would
# listen on every interface; it shall listen on loopback alone.
_LAUNCHER: Final = """
import site, sys
site.addsitedir(sys.argv.pop(1))
from twisted.internet import reactor
listen = reactor.listenTCP
reactor.listenTCP = lambda port, factory, backlog=50, interface="": listen(port, factory, backlog, "127.0.0.1")
from autobahntestsuite.wstest import run
sys.argv[0] = "wstest"
sys.exit(run())
"""


class NoServerError(Exception):
    """The fuzzing server can't be had; the text says what is missing."""


def candidates() -> list[str]:
    """Paths at which a Python 2.7 may be: `$PYTHON2`, the path, pyenv."""
    places = [os.environ.get("PYTHON2", ""), shutil.which("python2.7") or ""]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places += [str(path) for path in sorted(root.glob("versions/2.7*/bin/python2.7"), reverse=True)]
    return [place for place in places if place]


def find_python2(places: Sequence[str]) -> str:
    """The first of these that is a Python 2.7 with pip; raises `NoServerError`."""
    for place in places:
        # A shim of pyenv is on the path also when no 2.7 is switched on: it has to be run to find out.
        probe = "import sys, pip; sys.exit(sys.version_info[:2] != (2, 7))"
        with contextlib.suppress(OSError):
            if subprocess.run([place, "-c", probe], capture_output=True, check=False).returncode == 0:  # noqa: S603
                return place
    tried = ", ".join(places) or "nothing to try"
    raise NoServerError(
        "the fuzzing server (autobahntestsuite) needs a Python 2.7 with pip, and none was found "
        f"({tried}).\nInstall one (for example: pyenv install 2.7.18), or name one: "
        "make conformance PYTHON2=/path/to/python2.7"
    )


def install(python2: str, folder: Path) -> Path:
    """Install autobahntestsuite into `folder` unless it is there; returns its folder. Raises `NoServerError`."""
    library = folder / f"autobahntestsuite-{VERSION}"
    if not library.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / "incomplete"
        shutil.rmtree(fresh, ignore_errors=True)
        command = [python2, "-m", "pip", "install", "--quiet", "--target", str(fresh), f"autobahntestsuite=={VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise NoServerError(f"autobahntestsuite can't be installed:\n{done.stderr.strip()[-2000:]}")
        fresh.rename(library)
    return library


@contextlib.contextmanager
def fuzzing_server(python2: str, library: Path, folder: Path, cases: Sequence[str]) -> Iterator[str]:
    """Run the server; yields its URL. Reports go to `folder`/reports. Raises `NoServerError`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"ws://127.0.0.1:{port}"
    reports = folder / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    specification = folder / "spec.json"
    specification.write_text(json.dumps({"url": url, "outdir": str(reports), "cases": list(cases)}), encoding="utf-8")
    command = [*_command(python2, library, "fuzzingserver", specification), "-u", "0"]
    log_path = folder / "server.log"
    with (
        log_path.open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True) as process,  # noqa: S603
    ):
        try:
            _await_port(process, port, log_path)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()


async def run_fuzzing_client(
    python2: str, library: Path, folder: Path, servers: Mapping[str, str], cases: Sequence[str]
) -> None:
    """Let the fuzzing client test these servers: URLs by the names of their agents. Raises `NoServerError`."""
    specification = folder / "client-spec.json"
    tested = [{"agent": agent, "url": url} for agent, url in servers.items()]
    text = json.dumps({"outdir": str(folder / "server-reports"), "servers": tested, "cases": list(cases)})
    specification.write_text(text, encoding="utf-8")
    log_path = folder / "client.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *_command(python2, library, "fuzzingclient", specification), stdout=log, stderr=log
        )
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if status:
        raise NoServerError(f"the fuzzing client failed; its log:\n{log_path.read_text('utf-8', 'replace')[-2000:]}")


def _command(python2: str, library: Path, mode: str, specification: Path) -> list[str]:
    return [python2, "-W", "ignore", "-c", _LAUNCHER, str(library), "-m", mode, "-s", str(specification)]


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.1)
    raise NoServerError(f"the fuzzing server does not listen; its log:\n{log.read_text('utf-8', 'replace')[-2000:]}")
