"""The directory that processes share in: what is refused, and when."""

from pathlib import Path

import pytest

from onesocket.errors import InvalidOption, NoRuntimeDirectory
from onesocket.sharing.host import HostOptions
from onesocket.sharing.host._runtime_paths import runtime_directory


@pytest.mark.parametrize("wrong", [3, b"/tmp", True, ["/tmp"]])  # noqa: S108 - not used
def test_a_directory_that_is_no_path_is_refused_at_once(wrong: object) -> None:
    with pytest.raises(InvalidOption, match="directory must be a path"):
        HostOptions(directory=wrong)  # type: ignore[arg-type]


def test_a_path_will_do(tmp_path: Path) -> None:
    assert HostOptions(directory=tmp_path).directory == str(tmp_path)  # type: ignore[arg-type]


def test_a_link_is_called_one(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(place)
    with pytest.raises(NoRuntimeDirectory, match="it is a link"):
        runtime_directory(str(link))
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NoRuntimeDirectory, match="it is no directory"):
        runtime_directory(str(file))
