"""The libFuzzer target: ``harness.c`` and the C twin, with AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
SOURCE: Final = ROOT / "packages/onesocket/src/onesocket/wire/_native.c"
HARNESS: Final = Path(__file__).with_name("harness.c")
COMPILERS: Final = ("clang", *(f"clang-{version}" for version in range(24, 13, -1)))
WARNINGS: Final = ("-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-Werror")
SANITIZERS: Final = "address,undefined"
LONGEST_INPUT: Final = 2048


class CampaignError(Exception):
    """The campaign can't be run here; the text says what is missing."""


@dataclass(frozen=True)
class FuzzResult:
    """How a run of the target ended."""

    executions: int
    seconds: int
    finding: str
    """The end of the target's output; empty: nothing was found."""


def find_compiler() -> str:
    """Return the path of a clang."""
    found = next(filter(None, map(shutil.which, [os.environ["CLANG"]] if "CLANG" in os.environ else COMPILERS)), None)
    if found is None:
        raise CampaignError(
            "clang with libFuzzer is needed (Debian: clang and libclang-rt-14-dev); CLANG names another one"
        )
    return found


def python_library() -> list[str]:
    """Return the linker's arguments for the library of this Python."""
    folder, version = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDVERSION")
    libraries = f"{sysconfig.get_config_var('LIBS')} {sysconfig.get_config_var('SYSLIBS')}".split()
    return [f"-L{folder}", f"-Wl,-rpath,{folder}", f"-lpython{version}", *libraries]


def build_target(folder: Path) -> Path:
    """Compile the target into this folder; returns the program."""
    clang, include = find_compiler(), f"-I{sysconfig.get_path('include')}"
    native, harness, program = folder / "native.o", folder / "harness.o", folder / "fuzz"
    instrumented = [f"-fsanitize=fuzzer-no-link,{SANITIZERS}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    limited = [] if sysconfig.get_config_var("Py_GIL_DISABLED") else ["-DPy_LIMITED_API=0x030b0000"]
    for command in (
        [clang, *WARNINGS, *instrumented, *limited, include, "-c", str(SOURCE), "-o", str(native)],
        [clang, *WARNINGS, include, "-c", str(HARNESS), "-o", str(harness)],
        [clang, f"-fsanitize=fuzzer,{SANITIZERS}", str(harness), str(native), "-o", str(program), *python_library()],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        if done.returncode != 0:
            raise CampaignError(f"{' '.join(command)}\n{done.stderr}")
    return program


def run_target(program: Path, corpus: Path, seconds: int, executions: int) -> FuzzResult:
    """Fuzz until either bound; new inputs go to `corpus`, a finding to the folder of the program."""
    bounds = [f"-max_total_time={seconds}", f"-runs={executions or -1}", f"-max_len={LONGEST_INPUT}"]
    places = [f"-artifact_prefix={program.parent}/finding-", "-print_final_stats=1", str(corpus)]
    done = subprocess.run(  # noqa: S603 - ours
        [str(program), *bounds, *places], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    output = done.stdout.decode(errors="replace")
    count = re.search(r"number_of_executed_units: (\d+)", output)
    time = re.search(r"in (\d+) second", output)
    finding = "\n".join(output.splitlines()[-40:]) if done.returncode else ""
    return FuzzResult(int(count[1]) if count else 0, int(time[1]) if time else 0, finding)
