"""``onesocket serve`` as people start it: a process of its own, signals, a second command beside it."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from onesocket_discord.cli._serve import serve_app
from tests.support.commands import end_by_signal, read_introduction, run_command, start_command
from tests.unit.onesocket_discord.server.gateway.raw_client import DEADLINE, dial

INTENTS = 1 << 0 | 1 << 9


class ServeProcess:
    """The running process, and what it printed."""

    def __init__(self, process: asyncio.subprocess.Process, lines: list[str]) -> None:
        self.process = process
        self.lines = lines
        self.api_url, self.gateway_url = (line.split()[-1] for line in lines if line.startswith(("HTTP", "gateway")))

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        return await end_by_signal(self.process, number)


@asynccontextmanager
async def serving(data: Path, *options: str) -> AsyncIterator[ServeProcess]:
    ports = () if "--port" in options else ("--port", "0", "--gateway-port", "0")
    process = await start_command("serve", "--data", str(data), *ports, *options)
    try:
        lines = await read_introduction(process, "stop")
        assert process.returncode is None, await process.communicate()
        yield ServeProcess(process, lines)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(*arguments: str, env: dict[str, str] | None = None, stdin: str = "") -> tuple[int, str, str]:
    return await run_command("serve", *arguments, env={**os.environ, **(env or {})}, stdin=stdin)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_is_and_ends_in_order_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    async with serving(tmp_path) as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/api/v10", server.api_url)
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/", server.gateway_url)
        assert any("onesocket serve bot NAME" in line for line in server.lines)
        assert any("onesocket chat" in line for line in server.lines)
        async with dial(server.gateway_url) as client:
            await client.hello()
            server.process.send_signal(number)
            assert (await client.receive())["op"] == 7
            assert await client.close_code() == 1001
        async with asyncio.timeout(DEADLINE):
            assert await server.process.wait() == 0
    assert not (tmp_path / "chat.db.control.json").exists()


async def test_bots_and_faults_beside_a_running_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        status, token, _ = await run("bot", "robo", "--data", str(tmp_path))
        assert status == 0
        status, _, errors = await run("bot", "robo", "--data", str(tmp_path))
        assert (status, "username" in errors) == (1, True)
        async with dial(server.gateway_url) as client:
            await client.hello()
            await client.send(2, {"token": token, "intents": INTENTS})
            await client.until("GUILD_CREATE")
            fault = ("fault", "invalid-session", "--resumable", "--user", "robo", "--data", str(tmp_path))
            assert await run(*fault) == (0, '{"count": 1}', "")
            assert (await client.receive())["d"] is True
        status, _, errors = await run("fault", "close", "--data", str(tmp_path))
        assert (status, "missing required field `code`" in errors) == (1, True)
        status, _, errors = await run("fault", "earthquake", "--data", str(tmp_path))
        assert (status, "the faults are reconnect" in errors) == (1, True)
        status, _, errors = await run("--data", str(tmp_path), "--port", "0", "--gateway-port", "0")
        assert (status, "in use" in errors, "Traceback" in errors) == (1, True, False)
        assert (await server.end())[0] == 0


async def test_a_bot_made_without_a_server_is_there_when_it_starts(tmp_path: Path) -> None:
    status, token, errors = await run("bot", "robo", "--data", str(tmp_path / "new" / "world.db"))
    assert (status, errors) == (0, "")
    async with serving(tmp_path / "new" / "world.db") as server:
        headers = {"Authorization": f"Bot {token}"}
        async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{server.api_url}/users/@me") as answer:
            assert (await answer.json())["username"] == "robo"


async def test_killed_and_started_again_it_has_every_message_that_was_acknowledged(tmp_path: Path) -> None:
    _, token, _ = await run("bot", "robo", "--data", str(tmp_path))
    headers = {"Authorization": f"Bot {token}"}
    async with serving(tmp_path, "--identify-interval", "0") as server:
        ports = [re.findall(r":(\d+)/", url)[0] for url in (server.api_url, server.gateway_url)]
        async with dial(server.gateway_url) as client, aiohttp.ClientSession(headers=headers) as http:
            await client.hello()
            await client.send(2, {"token": token, "intents": INTENTS})
            channel = (await client.until("GUILD_CREATE"))["d"]["channels"][0]["id"]
            url = f"{server.api_url}/channels/{channel}/messages"
            for number in range(5):
                async with http.post(url, json={"content": str(number)}) as answer:
                    assert answer.status == 200
            server.process.kill()
            await client.close_code()
        await server.process.communicate()
    # Its control file is still there, but no process answers.
    status, _, errors = await run("fault", "reconnect", "--data", str(tmp_path))
    assert (status, "no server is running" in errors) == (1, True)
    async with (
        serving(tmp_path, "--port", ports[0], "--gateway-port", ports[1]),
        aiohttp.ClientSession(headers=headers) as http,
        http.get(url) as answer,
    ):
        assert sorted(one["content"] for one in await answer.json()) == ["0", "1", "2", "3", "4"]


async def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, _, errors = await run("--data", str(tmp_path), "--port", port, "--gateway-port", "0")
    assert status == 1
    assert re.fullmatch(rf"onesocket: can't listen on 127\.0\.0\.1:{port}: .* choose another port with --port", errors)


async def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['argon2'] = None; from onesocket.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "serve", "--data", str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert errors.decode().strip() == 'onesocket: the chat server needs argon2: pip install "onesocket-discord[server]"'


async def test_by_default_the_file_is_in_the_users_data_directory(tmp_path: Path) -> None:
    status, _, _ = await run("bot", "robo", env={"XDG_DATA_HOME": str(tmp_path)})
    assert status == 0
    assert (tmp_path / "onesocket" / "chat.db").exists()
    assert (tmp_path / "onesocket").stat().st_mode & 0o777 == 0o700


async def test_the_control_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        file = tmp_path / "chat.db.control.json"
        assert file.stat().st_mode & 0o777 == 0o600
        token = json.loads(file.read_text())["token"]
        assert not any(token in line for line in server.lines)
        status, errors = await server.end()
        assert (status, token in errors) == (0, False)


async def test_behind_a_proxy_it_prints_its_address_and_logs_each_request(tmp_path: Path) -> None:
    options = ("--public-url", "https://chat.example", "--trusted-proxy", "127.0.0.1", "--log-requests", "json")
    async with serving(tmp_path, "--port", "0", "--metrics", "127.0.0.1:0", *options) as server:
        told = {line.split()[0]: line.split()[-1] for line in server.lines if line}
        assert (told["chat"], server.api_url) == ("https://chat.example/", "https://chat.example/api/v10")
        assert server.gateway_url == "wss://chat.example/"
        async with aiohttp.ClientSession(headers={"X-Forwarded-For": "203.0.113.5"}) as http:
            async with http.get(f"{told['listens']}/healthz?secret") as answer:
                assert answer.status == 200
            async with http.get(told["metrics"]) as answer:
                assert 'route="/healthz",status="200"} 1' in await answer.text()
        status, errors = await server.end()
        (line,) = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert status == 0
    assert (line["address"], line["path"], line["status"]) == ("203.0.113.5", "/healthz", 200)
    assert "secret" not in errors


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("--public-url", "chat.example", "such as https://chat.example"),
        ("--gateway-url", "https://chat.example", "such as wss://chat.example/"),
        ("--trusted-proxy", "caddy", "such as 127.0.0.1 or"),
        ("--trusted-proxy", "0.0.0.0/0", "name the proxy's own address"),
        ("--origin", "chat.example", "such as https://chat.example"),
        ("--metrics", "here", "wants HOST:PORT"),
        ("--log-requests", "xml", "'text', 'json'"),
    ],
)
def test_a_wrong_value_is_said_in_one_line_with_the_remedy(
    tmp_path: Path, option: str, value: str, remedy: str
) -> None:
    done = CliRunner().invoke(serve_app, ["--data", str(tmp_path), option, value])
    assert done.exit_code == 2
    assert option in done.output
    assert remedy in done.output
    assert "Traceback" not in done.output
