"""Hatchling's build hook: compiles the native twin of onesocket.wire, which the package works without.

The environment variable ``ONESOCKET_BUILD`` decides: ``auto`` (the default) installs the Python twin, with a warning,
where the native one can't be compiled; ``c`` makes that an error; ``python`` compiles nothing. Run as a program, as by
``make setup``, it compiles beside the source unless the file there is newer.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.builders.wheel import WheelBuilder, WheelBuilderConfig

VARIABLE = "ONESOCKET_BUILD"
MODES = ("auto", "c", "python")
PACKAGE = Path(__file__).resolve().parent / "src" / "onesocket" / "wire"
SOURCE = PACKAGE / "_native.c"
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
"""Free-threaded Pythons have no limited API; each gets a build of its own."""
FLAGS = [] if os.name == "nt" else ["-std=c11", "-O3", "-g0", "-fvisibility=hidden"]


class NativeBuildError(Exception):
    """The native twin could not be compiled."""


def chosen_mode() -> str:
    """Return the value of ``ONESOCKET_BUILD``."""
    mode = os.environ.get(VARIABLE, "auto")
    if mode not in MODES:
        message = f"{VARIABLE} is {mode!r}; it may be {', '.join(MODES[:-1])} or {MODES[-1]}"
        raise SystemExit(message)
    return mode


def compile_module(folder: Path) -> Path:
    """Compile the native twin into this folder; returns its file, which appears there whole."""
    if sys.implementation.name != "cpython":
        message = f"{sys.implementation.name} is faster with the Python twin"
        raise NativeBuildError(message)
    try:
        from setuptools import Distribution, Extension  # noqa: PLC0415 - slow, and not needed in most runs

        extension = Extension(
            "_native",
            [str(SOURCE)],
            define_macros=[] if FREE_THREADED else [("Py_LIMITED_API", "0x030b0000")],
            extra_compile_args=FLAGS,
            py_limited_api=not FREE_THREADED,
        )
        with tempfile.TemporaryDirectory() as temporary:
            command: Any = Distribution({"name": "onesocket", "ext_modules": [extension]}).get_command_obj("build_ext")
            command.build_lib = command.build_temp = temporary
            command.ensure_finalized()
            command.run()
            built = Path(command.get_ext_fullpath("_native"))
            # A process that has loaded the older file keeps it.
            aside = shutil.copy(built, folder / f".{built.name}.{os.getpid()}")
            return Path(aside).replace(folder / built.name)
    except (Exception, SystemExit) as error:  # each compiler, linker and platform fails in its own way
        message = f"{type(error).__name__}: {error}"
        raise NativeBuildError(message) from error


def compile_as_chosen(folder: Path) -> tuple[Path | None, str]:
    """Return the compiled file, or None and the reason why there is none."""
    mode = chosen_mode()
    if mode == "python":
        return None, f"{VARIABLE}=python"
    try:
        return compile_module(folder), ""
    except NativeBuildError as error:
        if mode == "c":
            message = (
                f"the native twin of onesocket.wire could not be compiled, and {VARIABLE}=c asks for it: {error}; "
                f"install a C compiler and Python's headers, or unset {VARIABLE} to use the Python twin"
            )
            raise SystemExit(message) from error
        return None, str(error)


def update_beside_source() -> str:
    """Compile beside the source unless that is done; returns the reason why there is no native twin, or ``""``."""
    built = [path for suffix in EXTENSION_SUFFIXES if (path := PACKAGE / f"_native{suffix}").exists()]
    newest = max(SOURCE.stat().st_mtime, Path(__file__).stat().st_mtime)
    if chosen_mode() != "python" and any(path.stat().st_mtime >= newest for path in built):
        return ""
    file, reason = compile_as_chosen(PACKAGE)
    for path in built if file is None else ():
        path.unlink()
    return reason


class NativeBuildHook(BuildHookInterface[WheelBuilderConfig]):
    """Puts the native twin into a wheel, or beside its source for an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and give the wheel its tag and the file."""
        self._folder = tempfile.TemporaryDirectory()
        if version == "editable":
            reason = update_beside_source()
        else:
            file, reason = compile_as_chosen(Path(self._folder.name))
            if file is not None:
                tag = WheelBuilder(self.root).get_best_matching_tag()
                build_data["tag"] = tag if FREE_THREADED else f"cp311-abi3-{tag.split('-')[2]}"
                build_data["pure_python"] = False
                build_data["force_include"][str(file)] = f"onesocket/wire/{file.name}"
        if reason:
            self.app.display_warning(f"onesocket is installed with the Python twin of onesocket.wire: {reason}")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the file that the wheel has taken in."""
        del version, build_data, artifact_path
        self._folder.cleanup()


if __name__ == "__main__":
    why_not = update_beside_source()
    if why_not:
        print(f"warning: the Python twin of onesocket.wire is in use: {why_not}", file=sys.stderr)
