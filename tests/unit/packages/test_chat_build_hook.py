"""The build of the distribution `onesocket-chat`: the page with the JavaScript client."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from onesocket_chat._page import page_files

PACKAGE = Path(__file__).parents[3] / "packages" / "onesocket-chat"
BUILD = "import sys; from hatchling.build import build_{0} as build; build(sys.argv[1])"


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build in this folder, as a front end does; returns the file."""
    folder.mkdir()
    command = [sys.executable, "-c", BUILD.format(kind), str(folder)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert built.returncode == 0, built.stderr
    (file,) = folder.iterdir()
    return file


def client_in(wheel: Path) -> set[str]:
    start = "onesocket_chat/_page/onesocket/"
    with zipfile.ZipFile(wheel) as archive:
        return {name.removeprefix(start) for name in archive.namelist() if name.startswith(start)}


def test_a_wheel_holds_the_client_once_from_the_repository_and_from_the_source_distribution(tmp_path: Path) -> None:
    served = {name.removeprefix("assets/onesocket/") for name in page_files() if name.startswith("assets/onesocket/")}
    assert client_in(build("wheel", PACKAGE, tmp_path / "wheel")) == served
    assert {"index.js", "tabs/worker.js"} <= served
    with tarfile.open(build("sdist", PACKAGE, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert client_in(build("wheel", unpacked, tmp_path / "wheel of sdist")) == served
