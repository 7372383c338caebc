"""Unsent texts on disk: private, whole, for one account, and never two applications in one file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from onesocket_chat.model._composition import Composition, ReplyTarget
from onesocket_chat.model._outbox import Draft, DraftState
from onesocket_chat.session._draft_files import DraftFiles, UnsentMessages

HERE = "http://127.0.0.1:8720/api/v10"
WRITTEN = UnsentMessages(
    {100: Composition("text", ReplyTarget(7, "bob"), 5, {5: "changed"})},
    (Draft("n1", 100, "waits", 1.0, 7, DraftState.FAILED, "no"),),
)


def files(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file() and path.suffix == ".json")


def test_what_was_kept_is_there_for_the_next_application(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "drafts"
    old = os.umask(0)
    try:
        first = DraftFiles(place)
        first.of(HERE, 1).save(WRITTEN)
    finally:
        os.umask(old)
    assert [path.stat().st_mode & 0o777 for path in files(place)] == [0o600]
    assert {path.stat().st_mode & 0o777 for path in (place, place.parent, files(place)[0].parent)} == {0o700}
    first.close()
    second = DraftFiles(place)
    second.of(HERE, 1).open()
    assert second.of(HERE, 1).unsent == WRITTEN
    second.close()


def test_accounts_and_servers_have_their_own(tmp_path: Path) -> None:
    draft_files = DraftFiles(tmp_path)
    draft_files.of(HERE, 1).save(WRITTEN)
    draft_files.close()
    for server, user in ((HERE, 2), ("http://other:8720/api/v10", 1)):
        draft_files.of(server, user).open()
        assert draft_files.of(server, user).unsent == UnsentMessages()
    draft_files.close()


def test_two_that_run_do_not_write_over_each_other_and_the_third_has_both(tmp_path: Path) -> None:
    one, two, three = DraftFiles(tmp_path), DraftFiles(tmp_path), DraftFiles(tmp_path)
    one.of(HERE, 1).save(UnsentMessages({100: Composition("one")}))
    two.of(HERE, 1).save(UnsentMessages({100: Composition("two"), 101: Composition("other")}))
    one.of(HERE, 1).save(UnsentMessages({100: Composition("one!")}))
    assert len(files(tmp_path)) == 2
    one.close()
    two.close()
    three.of(HERE, 1).open()
    assert three.of(HERE, 1).unsent.compositions == {100: Composition("one!"), 101: Composition("other")}
    assert len(files(tmp_path)) == 1
    three.close()


def test_a_process_that_was_killed_leaves_its_texts(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from onesocket_chat.model._composition import Composition
from onesocket_chat.session._draft_files import DraftFiles, UnsentMessages
DraftFiles(Path(sys.argv[1])).of(sys.argv[2], 1).save(UnsentMessages({100: Composition("typed")}))
os.kill(os.getpid(), 9)
"""
    command = [sys.executable, "-c", program, str(tmp_path), HERE]
    done = subprocess.run(command, check=False, timeout=30)  # noqa: S603 - the program above
    assert done.returncode == -9
    draft_files = DraftFiles(tmp_path)
    draft_files.of(HERE, 1).open()
    assert draft_files.of(HERE, 1).unsent.compositions == {100: Composition("typed")}
    draft_files.close()


@pytest.mark.parametrize("data", [b"", b"{", b'{"compositions": 7}', b'{"compositions": {"x": {}}}', b"\xff\xfe"])
def test_a_broken_file_is_put_aside(tmp_path: Path, data: bytes) -> None:
    draft_files = DraftFiles(tmp_path)
    draft_files.of(HERE, 1).save(WRITTEN)
    draft_files.close()
    files(tmp_path)[0].write_bytes(data)
    again = DraftFiles(tmp_path)
    again.of(HERE, 1).open()
    assert again.of(HERE, 1).unsent == UnsentMessages()
    again.of(HERE, 1).save(WRITTEN)
    again.close()
    assert [path.read_bytes() for path in tmp_path.rglob("*.broken")] == [data]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    draft_files = DraftFiles(tmp_path / "drafts")
    draft_files.of(HERE, 1).save(WRITTEN)
    draft_files.close()
    target = tmp_path / "elsewhere"
    target.write_bytes(b'{"compositions": {"100": {"text": "planted"}}}')
    file = files(tmp_path / "drafts")[0]
    file.unlink()
    file.symlink_to(target)
    again = DraftFiles(tmp_path / "drafts")
    again.of(HERE, 1).open()
    assert again.of(HERE, 1).unsent == UnsentMessages()
    again.of(HERE, 1).save(WRITTEN)
    again.close()
    assert b"planted" in target.read_bytes()


def test_what_can_not_be_written_is_kept_as_long_as_it_runs(tmp_path: Path) -> None:
    place = tmp_path / "drafts"
    place.write_text("in the way")
    draft_files = DraftFiles(place)
    with pytest.raises(OSError):
        draft_files.of(HERE, 1).save(WRITTEN)
    assert draft_files.of(HERE, 1).unsent == WRITTEN
    place.unlink()
    draft_files.of(HERE, 1).save(WRITTEN)
    draft_files.close()
    assert len(files(place)) == 1


def test_without_a_directory_nothing_is_written() -> None:
    draft_files = DraftFiles(None)
    draft_files.of(HERE, 1).save(WRITTEN)
    assert draft_files.of(HERE, 1).unsent == WRITTEN
    draft_files.close()
