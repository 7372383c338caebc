"""``onesocket serve user``, ``bot`` and ``invite``: beside a running server, and without one."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from sqlalchemy import make_url
from typer.testing import CliRunner

from onesocket_discord.cli import _control_client, serve
from onesocket_discord.rest import Accounts, RestError
from onesocket_discord.server import ChatServer
from onesocket_discord.server.service import _passwords
from onesocket_discord.server.store._sqlite import exclusive_lock
from tests.unit.onesocket_discord.server.gateway.raw_client import dial


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_passwords, "PasswordHasher", lambda: PasswordHasher.from_parameters(CHEAPEST))


def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(serve, list(arguments), input=stdin)
    return result.exit_code, result.stdout.strip(), result.stderr.strip()


def test_accounts_without_a_server(tmp_path: Path) -> None:
    where = ("--data", str(tmp_path))
    assert run("user", "list", *where)[0] == 1
    assert run("user", "add", "Admin", *where, stdin="correct horse\n") == (0, "", "")
    status, _, errors = run("user", "add", "bob", *where, stdin="password1\n")
    assert (status, "guessed first" in errors, "password1" in errors) == (1, True, False)
    assert run("user", "promote", "Admin", *where) == run("user", "demote", "Admin", *where) == (0, "", "")
    status, _, errors = run("user", "promote", "nobody", *where)
    assert (status, "no user called" in errors) == (1, True)
    for command in ("ban", "unban"):
        assert run("user", command, "Admin", *where) == (0, "", "")
        listed = run("user", "list", *where)[1]
        assert ("(banned)" in listed) is (command == "ban")
    assert run("report", "list", *where) == (0, "", "")
    assert run("report", "close", "5", *where)[0] == 1
    tokens = [run("bot", "robo", *where)[1], run("bot", *where, "list 2")[1], run("bot", "add", "list", *where)[1]]
    assert len({token for token in tokens if token}) == 3
    status, renewed, _ = run("bot", "renew", "robo", *where)
    assert (status, renewed not in tokens, len(renewed.split("."))) == (0, True, 3)
    assert [line.split()[1:] for line in run("bot", "list", *where)[1].splitlines()] == [
        ["bot", "1", "robo"],
        ["bot", "1", "list", "2"],
        ["bot", "1", "list"],
    ]
    status, _, errors = run("bot", "remove", "Admin", *where)
    assert (status, "no bot called 'Admin'" in errors) == (1, True)
    for name in ("robo", "list", "list 2"):
        assert run("bot", "remove", name, *where) == (0, "", "")
    assert [line.split()[1:] for line in run("user", "list", *where)[1].splitlines()] == [["person", "0", "Admin"]]


@pytest.mark.parametrize("answers", [True, False])
def test_a_command_waits_for_a_server_that_starts_or_ends(
    answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that starts has the file before its control endpoint is up, and one that ends has it a moment longer."""
    where = ("--data", str(tmp_path))
    assert run("user", "add", "ann", *where, stdin="correct horse\n") == (0, "", "")
    now = 0.0

    class Clock:
        monotonic = staticmethod(lambda: now)

        @staticmethod
        def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds
            if now > 2 and answers:
                monkeypatch.setattr(_control_client, "ask_server", lambda *_: {"users": []})
            elif now > 2:
                lock.close()

    monkeypatch.setattr(_control_client, "time", Clock)
    with ExitStack() as lock:
        lock.enter_context(exclusive_lock(make_url(f"sqlite+aiosqlite:///{tmp_path / 'chat.db'}")))
        status, listed, errors = run("user", "list", *where)
        assert (status, errors) == (0, "")
        assert ("ann" in listed) is not answers


def test_a_command_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_control_client, "_PATIENCE", 0.0)
    where = ("--data", str(tmp_path))
    assert run("user", "add", "ann", *where, stdin="correct horse\n") == (0, "", "")
    with exclusive_lock(make_url(f"sqlite+aiosqlite:///{tmp_path / 'chat.db'}")):
        status, _, errors = run("user", "list", *where)
    assert (status, "is in use by another server" in errors) == (1, True)


async def test_a_renewed_token_and_an_invite_beside_a_running_server(tmp_path: Path) -> None:
    control = tmp_path / "chat.db.control.json"
    where = ("--data", str(tmp_path))
    async with ChatServer(tmp_path / "chat.db", control_file=control, registration="invite") as server:
        old = await server.create_bot("robo")
        async with dial(server.gateway_url) as client:
            await client.hello()
            await client.send(2, {"token": old, "intents": 1})
            await client.until("GUILD_CREATE")
            status, new, _ = await asyncio.to_thread(run, "bot", "renew", "robo", *where)
            assert await client.close_code() == 4004
        assert (status, await server.service.authenticate(old)) == (0, None)
        renewed = await server.service.authenticate(new)
        assert renewed is not None
        assert renewed.username == "robo"

        accounts = Accounts(server.api_url)
        with pytest.raises(RestError, match="by invite only"):
            await accounts.register("ann", "correct horse")
        status, code, _ = await asyncio.to_thread(run, "invite", "--days", "0", *where)
        assert status == 0
        await accounts.register("ann", "correct horse", code)
        with pytest.raises(RestError) as used_up:
            await accounts.register("bob", "correct horse", code)
        assert used_up.value.problems == ("invite: This invite is not valid, or has expired. (INVITE_INVALID)",)
        assert await asyncio.to_thread(run, "user", "add", "bob", *where, stdin="correct horse\n") == (0, "", "")
