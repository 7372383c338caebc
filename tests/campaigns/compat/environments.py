"""Throwaway environments for the libraries, each made once and kept until its pins change."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from tests.campaigns.compat.libraries import BotEnvironment

_CONSTRAINTS: Final = Path(__file__).with_name("constraints.txt")
_NPM_BEFORE: Final = "2026-11-23"
"""Only releases up to this day: what npm's libraries bring along is pinned by it."""
_SECONDS: Final = 600.0
_SHOWN: Final = 600
# Theirs are for our own interpreter.
_NOT_PASSED_ON: Final = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")


class NotInstalled(Exception):
    """An environment can't be made; the text says why."""


def interpreter_command(environment: BotEnvironment, root: Path) -> list[str]:
    """The command that runs a script in this environment; it has to be started in the environment's folder."""
    if environment.runtime == "Python":
        return [str(root / environment.name / "bin" / "python"), "-B"]
    return [_find("node")]


def clean_environment() -> dict[str, str]:
    """Our environment variables, without those that would lead a Python astray."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}


async def runtimes() -> dict[str, str]:
    """The versions of Python and Node.js that the bots run on; empty where there is none."""
    node = shutil.which("node")
    version = (await _run([node, "--version"], Path.cwd())).strip().removeprefix("v") if node else ""
    return {"Python": ".".join(map(str, sys.version_info[:3])), "Node.js": version}


async def install(environment: BotEnvironment, root: Path) -> None:
    """Have the environment, once. Raises `NotInstalled`."""
    folder = root / environment.name
    stamp = folder / ".stamp"
    if environment.runtime == "Python":
        wanted = [sys.version, _CONSTRAINTS.read_text("utf-8")]
    else:
        wanted = [(await _run([_find("node"), "--version"], Path.cwd())).strip(), _NPM_BEFORE]
    text = "\n".join([*environment.packages, *wanted])
    if stamp.exists() and stamp.read_text("utf-8") == text:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        if environment.runtime == "Python":
            await _install_python(folder, environment.packages)
        else:
            await _install_node(folder, environment.packages)
    except OSError as error:
        raise NotInstalled(str(error)) from error
    stamp.write_text(text, encoding="utf-8")


async def _install_python(folder: Path, packages: tuple[str, ...]) -> None:
    python = str(folder / "bin" / "python")
    uv = shutil.which("uv")
    if uv is not None:
        await _run([uv, "venv", "--quiet", "--python", sys.executable, "--clear", str(folder)], folder.parent)
        install = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        await _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent)  # ours will do
        install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    await _run([*install, "--constraint", str(_CONSTRAINTS), *packages], folder)


async def _install_node(folder: Path, packages: tuple[str, ...]) -> None:
    names = [package.rpartition("@")[0] for package in packages]
    # Some have to be compiled, which npm does only where it is allowed by name.
    manifest = {"private": True, "allowScripts": dict.fromkeys(names, True)}
    (folder / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
    options = ["--no-audit", "--no-fund", "--omit=optional", "--save-exact", f"--before={_NPM_BEFORE}"]
    await _run([_find("npm"), "install", *options, *packages], folder)


def _find(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotInstalled(f"{name} is not on the path; the JavaScript libraries need Node.js 20 or newer with npm")
    return found


async def _run(command: list[str], folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=clean_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    name = Path(command[0]).name
    try:
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        raise NotInstalled(f"{name} did not finish within {_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise NotInstalled(f"{name} failed: {err.decode(errors='replace').strip()[-_SHOWN:]}")
    return out.decode(errors="replace")
