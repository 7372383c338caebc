"""The build of the distribution `onesocket`: with its C twin, and without a compiler."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).parents[3] / "packages" / "onesocket"
BUILD = "import sys; from hatchling.build import build_{0} as build; print(build(sys.argv[1]))"
NO_COMPILER = {"CC": "/nowhere/cc"}


def build(kind: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build as a front end does; the last line of the output is the file's name."""
    command = [sys.executable, "-c", BUILD.format(kind), str(folder)]
    whole = {**os.environ, "ONESOCKET_BUILD": "auto", **environment}
    return subprocess.run(command, cwd=PACKAGE, env=whole, capture_output=True, text=True, check=False)  # noqa: S603


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def in_wire(names: list[str]) -> list[str]:
    """Return what a wheel holds in the package `onesocket.wire` beside Python's modules."""
    return [Path(name).name for name in names if "/wire/" in name and not name.endswith(".py")]


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the build hook's module, which takes a folder of the test for the package."""
    spec = importlib.util.spec_from_file_location("hatch_build_of_onesocket", PACKAGE / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = tmp_path / "_native.c"
    source.write_bytes((PACKAGE / "src/onesocket/wire/_native.c").read_bytes())
    monkeypatch.setattr(module, "PACKAGE", tmp_path)
    monkeypatch.setattr(module, "SOURCE", source)
    monkeypatch.delenv("ONESOCKET_BUILD", raising=False)
    return module


def test_a_wheel_holds_the_c_twin_for_every_python_from_3_11(tmp_path: Path) -> None:
    built = build("wheel", tmp_path, ONESOCKET_BUILD="c")
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(only_file(tmp_path)) as wheel:
        metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("/WHEEL"))).decode()
        (native,) = in_wire(wheel.namelist())
    assert "Root-Is-Purelib: false" in metadata
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert native == f"_native{EXTENSION_SUFFIXES[0]}"
    else:
        assert "-cp311-abi3-" in only_file(tmp_path).name
        assert native in {"_native.abi3.so", "_native.pyd"}


def test_without_a_compiler_the_wheel_is_pure_and_the_build_says_why(tmp_path: Path) -> None:
    built = build("wheel", tmp_path, **NO_COMPILER)
    assert built.returncode == 0, built.stderr
    assert only_file(tmp_path).name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(only_file(tmp_path)) as wheel:
        assert in_wire(wheel.namelist()) == []
    assert "Python twin" in built.stdout + built.stderr
    assert NO_COMPILER["CC"] in built.stdout + built.stderr


def test_a_build_that_must_have_the_c_twin_fails_without_a_compiler(tmp_path: Path) -> None:
    built = build("wheel", tmp_path, ONESOCKET_BUILD="c", **NO_COMPILER)
    assert built.returncode != 0
    assert "ONESOCKET_BUILD=c" in built.stderr
    assert NO_COMPILER["CC"] in built.stderr
    assert "install a C compiler and Python's headers, or unset ONESOCKET_BUILD" in built.stderr


def test_the_c_twin_can_be_left_out(tmp_path: Path) -> None:
    built = build("wheel", tmp_path, ONESOCKET_BUILD="python")
    assert only_file(tmp_path).name.endswith("-py3-none-any.whl")
    assert "ONESOCKET_BUILD=python" in built.stdout + built.stderr


def test_another_value_is_an_error_that_names_the_values(tmp_path: Path) -> None:
    built = build("wheel", tmp_path, ONESOCKET_BUILD="C++")
    assert built.returncode != 0
    assert "ONESOCKET_BUILD is 'C++'; it may be auto, c or python" in built.stderr


def test_the_source_distribution_can_build_both_and_holds_nothing_that_was_compiled(tmp_path: Path) -> None:
    built = build("sdist", tmp_path)
    assert built.returncode == 0, built.stderr
    with tarfile.open(only_file(tmp_path)) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"hatch_build.py", "src/onesocket/wire/_native.c"} <= set(names)
    assert [name for name in names if name.endswith((".so", ".pyd"))] == []


def test_an_editable_installation_compiles_again_when_the_source_has_changed(hook: ModuleType) -> None:
    assert hook.update_beside_source() == ""
    (file,) = (path for path in hook.PACKAGE.iterdir() if path != hook.SOURCE)
    first = file.stat()
    assert hook.update_beside_source() == ""
    assert file.stat().st_ino == first.st_ino
    os.utime(file, (1, 1))
    assert hook.update_beside_source() == ""
    assert file.stat().st_mtime > 1


@pytest.mark.parametrize("environment", [NO_COMPILER, {"ONESOCKET_BUILD": "python"}])
def test_an_editable_installation_keeps_no_c_twin_that_is_out_of_date(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    stale = hook.PACKAGE / f"_native{EXTENSION_SUFFIXES[0]}"
    stale.write_bytes(b"")
    os.utime(stale, (1, 1))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert all(value in hook.update_beside_source() for value in environment.values())
    assert not stale.exists()
