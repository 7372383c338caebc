"""``onesocket serve user`` and ``backup``: beside a running server, without one, and on files that can't be served."""

import contextlib
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from onesocket_discord.rest import Rest
from tests.integration.test_serve_command import run, serving


def beginning_with(file: Path) -> list[Path]:
    return list(file.parent.glob(f"{file.name}*"))


async def test_people_are_managed_beside_a_running_server(tmp_path: Path) -> None:
    where = ("--data", str(tmp_path))
    async with serving(tmp_path) as server, aiohttp.ClientSession() as http:

        async def sign_in(password: str) -> int:
            body = {"login": "ann", "password": password}
            async with http.post(f"{server.api_url}/auth/login", json=body) as answer:
                return answer.status

        ann = {"username": "ann", "password": "correct horse"}
        async with http.post(f"{server.api_url}/auth/register", json=ann) as answer:
            token = (await answer.json())["token"]
        status, listed, _ = await run("user", "list", *where)
        assert (status, listed.split()[1:]) == (0, ["person", "1", "ann"])
        status, _, errors = await run("user", "passwd", "ann", *where, stdin="short\n")
        assert (status, errors) == (1, "onesocket: password: Must be between 8 and 256 in length.")
        assert (await run("user", "passwd", "ann", *where, stdin="battery staple\n"))[0] == 0
        assert (await sign_in("correct horse"), await sign_in("battery staple")) == (400, 200)
        async with http.get(f"{server.api_url}/users/@me", headers={"Authorization": token}) as answer:
            assert answer.status == 401
        assert (await run("user", "remove", "ann", *where))[0] == 0
        assert await sign_in("battery staple") == 400


async def test_people_are_managed_without_a_server(tmp_path: Path) -> None:
    where = ("--data", str(tmp_path))
    status, _, errors = await run("user", "list", *where)
    assert (status, "no database" in errors) == (1, True)
    assert (await run("bot", "robo", "--private", "--deny", "message-content", "--deny", "members", *where))[0] == 0
    status, _, errors = await run("user", "remove", "nobody", *where)
    assert (status, errors) == (1, "onesocket: name: There is no user called 'nobody'.")
    with contextlib.closing(sqlite3.connect(tmp_path / "chat.db")) as database:
        settings = "SELECT bot_public, denied_intents FROM users WHERE username = 'robo'"
        assert database.execute(settings).fetchone() == (0, 1 << 15 | 1 << 1)
        assert (await run("bot", "edit", "robo", "--public", "--deny", "none", *where)) == (0, "", "")
        assert database.execute(settings).fetchone() == (1, 0)
        for options, said in ((), "nothing to change"), (("--deny", "none", "--deny", "members"), "no other intent"):
            status, _, errors = await run("bot", "edit", "robo", *options, *where)
            assert (status, said in " ".join(errors.split())) == (2, True), errors
        assert database.execute(settings).fetchone() == (1, 0)
    assert (await run("user", "remove", "robo", *where))[0] == 0
    assert (await run("user", "list", *where)) == (0, "", "")


async def test_a_backup_of_a_running_server_has_what_was_acknowledged(tmp_path: Path) -> None:
    _, token, _ = await run("bot", "robo", "--data", str(tmp_path))
    copy = tmp_path / "copy.db"
    async with serving(tmp_path) as server, Rest(token.strip(), api_url=server.api_url) as rest:
        channel = (await rest.guild_channels((await rest.guilds())[0]["id"]))[0]["id"]
        for number in range(20):
            await rest.send_message(channel, f"message {number}")
        status, _, errors = await run("backup", str(copy), "--data", str(tmp_path))
        assert (status, errors) == (0, "")
        assert (await run("backup", str(copy), "--data", str(tmp_path)))[0] == 2
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert beginning_with(copy) == [copy]
    with contextlib.closing(sqlite3.connect(copy)) as database:
        stored = {content for (content,) in database.execute("SELECT content FROM messages")}
    assert stored == {f"message {number}" for number in range(20)}


def change(file: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute(statement)
        database.commit()


def replace(file: Path) -> None:
    file.unlink()
    change(file, "CREATE TABLE other (x)")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.write_bytes(b"not a database, but long enough to be looked at" * 100), "damaged"),
        (lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]), "damaged"),
        (lambda file: change(file, "UPDATE alembic_version SET version_num = '9999'"), "upgrade onesocket"),
        (replace, "another program"),
    ],
    ids=["no database", "half of one", "a newer one", "another program's"],
)
async def test_a_file_that_can_not_be_served_is_said_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    await run("bot", "robo", "--data", str(tmp_path))
    spoil(tmp_path / "chat.db")
    for command in (("--port", "0", "--gateway-port", "0"), ("user", "list")):
        status, _, errors = await run(*command, "--data", str(tmp_path))
        assert (status in {1, 2}, said in errors, errors.count("\n")) == (True, True, 0), errors
