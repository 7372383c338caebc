"""Where ``onesocket serve`` keeps its data, by its options, and how it refuses places that can't be."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from onesocket.errors import InvalidOption
from onesocket_discord.cli import serve
from onesocket_discord.cli._server_place import ServerPlace

SECRET = "tr0ub4dor"
URL = f"postgresql://ann:{SECRET}@127.0.0.1:1/chat"


def test_files(tmp_path: Path) -> None:
    for data, file in ((tmp_path, tmp_path / "chat.db"), (tmp_path / "other.db", tmp_path / "other.db")):
        place = ServerPlace.find(data, None)
        assert (place.database, place.file, place.options) == (file, file, f" --data {data}")
        assert place.control_file == file.with_name(f"{file.name}.control.json")
    place = ServerPlace.find(None, f"sqlite:///{tmp_path}/one.db")
    assert (place.file, place.control_file.name) == (tmp_path / "one.db", "one.db.control.json")
    with pytest.raises(InvalidOption, match="give one of them"):
        ServerPlace.find(tmp_path, f"sqlite:///{tmp_path}/one.db")


def test_databases_have_control_files_of_their_own_and_show_no_password(tmp_path: Path) -> None:
    one = ServerPlace.find(tmp_path, URL)
    assert (one.database, one.file, one.control_file.parent) == (URL, None, tmp_path)
    assert SECRET not in f"{one.name}{one.options}{one.control_file}"
    for other in (URL.replace("/chat", "/other"), URL.replace(":1/", ":2/"), URL.replace("127.0.0.1", "localhost")):
        assert ServerPlace.find(tmp_path, other).control_file != one.control_file
    again = ServerPlace.find(tmp_path, URL.replace(SECRET, "another"))
    assert again.control_file == one.control_file
    with pytest.raises(InvalidOption, match="names a directory"):
        ServerPlace.find(tmp_path / "chat.db", URL)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["user", "list", "--database", f"mysql://ann:{SECRET}@localhost/chat"], 2, "'mysql'"),
        (["user", "list", "--database", URL], 1, "can't be reached"),
        (["--port", "0", "--gateway-port", "0", "--database", URL], 1, "can't be reached"),
        (["backup", "copy.db", "--database", URL], 2, "pg_dump"),
        (["fault", "reconnect", "--database", URL], 1, "no server is running on postgresql+asyncpg://ann:***@"),
    ],
)
def test_a_refusal_is_one_line_without_the_password(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    result = CliRunner().invoke(serve, [*arguments, "--data", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (status, 1), result.output
    assert said in result.stderr
    assert SECRET not in result.output
