"""A token that is kept for the next time."""

import os
from pathlib import Path

import pytest

from onesocket_chat._credentials import Credentials, UnsafeCredentials, default_path, forget, load, save

ADA = Credentials("http://127.0.0.1:8720/api/v10", "ada", "a.secret.token")


def test_what_was_saved_is_loaded_and_forgotten(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "chat.json"
    assert load(place) is None
    old = os.umask(0)
    try:
        save(ADA, place)
        save(ADA, place)
    finally:
        os.umask(old)
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert list(place.parent.iterdir()) == [place]
    assert load(place) == ADA
    forget(place)
    forget(place)
    assert load(place) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "chat.json"
    save(ADA, place)
    place.chmod(mode)
    with pytest.raises(UnsafeCredentials, match="sign in again") as caught:
        load(place)
    assert ADA.token not in str(caught.value)


def test_a_link_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "chat.json"
    save(ADA, tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeCredentials):
        load(place)
    place.unlink()
    save(ADA, place)
    place.write_bytes(b'{"token": 7}')
    with pytest.raises(UnsafeCredentials, match="broken"):
        load(place)


def test_no_repr_shows_the_token() -> None:
    assert ADA.token not in repr(ADA)


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "onesocket" / "chat.json"
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_path() == tmp_path / "home" / ".local" / "state" / "onesocket" / "chat.json"
