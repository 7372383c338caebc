"""``onesocket serve --database`` as people start it: beside a running server, and without one."""

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.test_serve_command import run, serving
from tests.support.postgresql import PostgresqlServer


@pytest.fixture
def url(postgresql: PostgresqlServer) -> Iterator[str]:
    with postgresql.place() as url:
        yield url


async def test_a_server_and_the_commands_beside_it_use_the_database(tmp_path: Path, url: str) -> None:
    where = ("--database", url, "--data", str(tmp_path))
    status, token, errors = await run("bot", "robo", *where)  # before there is a server
    assert (status, errors) == (0, "")
    async with serving(tmp_path, "--database", url) as server:
        headers = {"Authorization": f"Bot {token}"}
        async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{server.api_url}/users/@me") as answer:
            assert (await answer.json())["username"] == "robo"
        # The server is asked, as it keeps every other program out of the database.
        assert (await run("user", "list", "--data", str(tmp_path), env={"ONESOCKET_DATABASE": url}))[1].endswith("robo")
