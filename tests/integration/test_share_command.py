"""``onesocket share`` and ``onesocket status`` as people start them: processes of their own, signals, ready lines."""

import asyncio
import configparser
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from onesocket import Json, Requests
from onesocket.cli._app import app
from onesocket.errors import OptionConflict
from onesocket.sharing._join import join
from onesocket.testing import Fault, FaultyConnection, FaultyServer, MessageLimit
from onesocket_discord.server import ChatServer, GatewayOptions
from tests.support.commands import COMMAND, end_by_signal, read_introduction, run_command, start_command
from tests.unit.onesocket_discord.server.gateway.raw_client import dial

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 20.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    place = tmp_path / "runtime"
    place.mkdir(mode=0o700)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ONESOCKET_")}
    return {**kept, "ONESOCKET_RUNTIME_DIR": str(place)}


class ShareProcess:
    """The running process, and what it printed."""

    def __init__(self, process: asyncio.subprocess.Process, told: dict[str, str]) -> None:
        self.process = process
        self.told = told
        self.url = told["ready"]

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        return await end_by_signal(self.process, number)


@asynccontextmanager
async def sharing(env: dict[str, str], *options: str) -> AsyncIterator[ShareProcess]:
    process = await start_command("share", "--listen", "127.0.0.1:0", *options, env=env)
    try:
        lines = [line.partition(" ") for line in await read_introduction(process, "ready")]
        told = {name: rest.strip() for name, _, rest in lines}
        assert "ready" in told, await process.communicate()
        yield ShareProcess(process, told)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(env: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    return await run_command(*arguments, env=env)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_is_and_closes_in_order(environment: dict[str, str], number: signal.Signals) -> None:
    async with FaultyServer() as server, sharing(environment, server.url) as hub:
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/", hub.url)
        assert hub.told["upstream"] == f"{server.url} (connected)"
        async with connect(hub.url) as one:
            await one.send("hi")
            assert await one.recv() == "hi"
            hub.process.send_signal(number)
            with pytest.raises(ConnectionClosed) as closed:
                async with asyncio.timeout(DEADLINE):
                    await one.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        async with asyncio.timeout(DEADLINE):
            assert await hub.process.wait() == 0
        counts = await server.wait_until(lambda counts: counts.open_now == 0)
        assert (counts.handshakes, dict(counts.close_codes)) == (1, {1000: 1})


async def test_status_lists_it_and_a_second_one_is_refused(environment: dict[str, str]) -> None:
    nothing = "nothing is shared on this machine: no process joined with scope='host', and no hub runs"
    assert await run(environment, "status") == (0, nothing, "")
    assert await run(environment, "status", "--json") == (0, "[]", "")
    url = "?account=s3cret-account"
    async with FaultyServer() as server, sharing(environment, server.url + url) as hub, connect(hub.url):
        where = hub.url.removeprefix("ws://").rstrip("/")
        code, out, _ = await run(environment, "status", "--json")
        (row,) = json.loads(out)
        assert code == 0
        assert (row["kind"], row["pid"], row["followers"], row["listen"], row["state"], row["epoch"]) == (
            "hub", hub.process.pid, 1, where, "connected", 1,
        )  # fmt: skip
        code, out, _ = await run(environment, "status")
        assert code == 0
        assert out.splitlines()[0].split()[:3] == ["CONNECTION", "KIND", "OWNER"]
        assert str(hub.process.pid) in out
        assert "s3cret" not in out
        code, _, errors = await run(environment, "share", "--listen", "0", server.url + url)
        assert code == 2
        assert f"process {hub.process.pid} runs a hub for this connection already, on {where}" in errors
        assert server.counts.handshakes == 1
        assert (await hub.end())[0] == 0
    assert (await run(environment, "status"))[1] == nothing


async def test_python_programs_on_the_same_connection(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONESOCKET_RUNTIME_DIR", environment["ONESOCKET_RUNTIME_DIR"])
    async with FaultyServer(echo=False) as server:
        async with (
            sharing(environment, server.url, "--scope", "host") as hub,
            connect(hub.url) as program,
            join(server.url, scope="host") as client,
        ):
            stream = client.subscribe()
            await program.send("from a program")
            await client.send("from Python")
            await server.wait_until(lambda counts: counts.messages_received == 2)
            await server.broadcast("to both")
            async with asyncio.timeout(DEADLINE):
                assert await program.recv() == "to both"
                assert await anext(stream) == "to both"
            rows = json.loads((await run(environment, "status", "--json"))[1])
            assert sorted(row["kind"] for row in rows) == ["host", "hub"]
            assert server.counts.handshakes == 1
            assert (await hub.end())[0] == 0
        assert server.counts.most_open == 1


@pytest.mark.parametrize(
    ("options", "asked", "option"),
    [
        (["--header", "X-Api-Key: alice-s3cret"], {}, "headers"),
        ([], {"headers": {"X-Api-Key": "bob-s3cret"}}, "headers"),
        (["--subprotocol", "a"], {}, "subprotocols"),
        ([], {"protocol": Json()}, "protocol"),
        (["--protocol", "json"], {}, "protocol"),
        (["--merge", "json"], {}, "protocol"),
    ],
)
async def test_a_program_that_would_dial_differently_is_not_on_the_hub_s_connection(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, options: list[str], asked: dict[str, Any], option: str
) -> None:
    monkeypatch.setenv("ONESOCKET_RUNTIME_DIR", environment["ONESOCKET_RUNTIME_DIR"])
    async with FaultyServer() as server, sharing(environment, server.url, "--scope", "host", *options):
        with pytest.raises(OptionConflict, match=f"{option}=") as conflict:
            await join(server.url, scope="host", **asked)
        assert conflict.value.option == option
        assert "s3cret" not in str(conflict.value)
        assert server.counts.handshakes == 1
    async with FaultyServer() as server, join(server.url, scope="host", **asked):
        code, _, errors = await run(environment, "share", "--listen", "0", server.url, "--scope", "host", *options)
        assert (code, server.counts.handshakes) == (2, 1)
        assert f"{option}=" in errors
        assert "--key" in errors
        assert "s3cret" not in errors


async def test_programs_that_would_dial_alike_are(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESOCKET_RUNTIME_DIR", environment["ONESOCKET_RUNTIME_DIR"])
    header = ["--header", "X-Api-Key: alice-s3cret", "--key", "alice", "--protocol", "json"]
    async with (
        FaultyServer() as server,
        sharing(environment, server.url, "--scope", "host", *header) as hub,
        connect(hub.url) as program,
        join(server.url, scope="host", key="alice", headers={"x-api-key": "alice-s3cret"}, protocol=Json()) as client,
    ):
        stream = client.subscribe()
        await program.send('{"from": "a program"}')
        async with asyncio.timeout(DEADLINE):
            assert await anext(stream) == {"from": "a program"}
        (upstream,) = server.connections
        assert upstream.request_headers["X-Api-Key"] == "alice-s3cret"
        assert server.counts.handshakes == 1


async def test_two_accounts_are_two_hubs_each_with_its_key(environment: dict[str, str]) -> None:
    alice, bob = (["--header", f"X-Api-Key: {name}-s3cret"] for name in ("alice", "bob"))
    async with FaultyServer() as server, sharing(environment, server.url, *alice) as hub:
        for others, option, flag in (
            (bob, "headers", "--header"),
            ([], "headers", "--header"),
            ([*alice, "--subprotocol", "a"], "subprotocols", "--subprotocol"),
            ([*alice, "--merge", "json"], "protocol", "--protocol, --merge, --pace and --control-pace"),
        ):
            code, _, errors = await run(environment, "share", "--listen", "0", server.url, *others)
            assert code == 2
            assert f"process {hub.process.pid} runs a hub for this connection already, on" in errors
            assert f"another {option}=" in errors
            assert f"(of this command: {flag}, and --key)" in errors
            assert "s3cret" not in errors
        code, _, errors = await run(environment, "share", "--listen", "0", server.url, *alice)
        assert (code, "connect to that one, or end it" in errors) == (2, True)
        async with sharing(environment, server.url, *bob, "--key", "bob"):
            accounts = [connection.request_headers["X-Api-Key"] for connection in server.connections]
            assert accounts == ["alice-s3cret", "bob-s3cret"]
            assert len(json.loads((await run(environment, "status", "--json"))[1])) == 2


async def test_status_watch_goes_on_until_ctrl_c(environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "status", "--watch", "--json", "--interval", "0.1",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        assert [await process.stdout.readline() for _ in range(3)] == [b"[]\n"] * 3
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_an_upstream_that_can_not_be_had_is_status_1(environment: dict[str, str]) -> None:
    async with FaultyServer(faults=Fault.refuse(401)) as server:
        code, out, errors = await run(environment, "share", "--listen", "0", server.url)
        assert (code, out) == (1, "")
        assert "401" in errors
        server.faults = None
        async with sharing(environment, server.url) as hub:
            server.faults = Fault.refuse(401)
            server.kill_connections()
            async with asyncio.timeout(DEADLINE):
                _, told = await hub.process.communicate()
            assert hub.process.returncode == 1
            assert b"the upstream has failed" in told


async def test_a_signal_during_the_first_connect_ends_it(environment: dict[str, str]) -> None:
    async with FaultyServer(faults=Fault.slow_upgrade(2.0)) as server:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "share", "--listen", "0", server.url,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment,
        )  # fmt: skip
        await server.wait_until(lambda counts: counts.handshakes == 1)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            out, errors = await process.communicate()
        assert (process.returncode, out, errors) == (0, b"", b"")
        counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
        assert counts.premature_closes == 0


async def test_tokens_and_subscriptions_by_options(environment: dict[str, str], tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("l0cal-secret\n")
    (tmp_path / "feeds.py").write_text(
        "class Broken: pass\n"
        "from onesocket.hub import Interest\n"
        "class Lines:\n"
        "    def read(self, data):\n"
        "        return Interest(add=[data[1:]]) if data[:1] == '+' else None\n"
        "    def subscribe(self, keys): return ['want ' + ','.join(sorted(keys))]\n"
        "    def unsubscribe(self, keys): return ['leave ' + ','.join(sorted(keys))]\n"
        "    def key_of(self, data): return None\n"
    )
    env = {**environment, "ONESOCKET_TOKEN": "up-secret", "PYTHONPATH": str(tmp_path)}
    options = ["--local-token-file", str(secret), "--merge", "feeds:Lines"]
    async with FaultyServer(echo=False) as server, sharing(env, server.url, *options) as hub:
        headers = {"Authorization": "Bearer l0cal-secret"}
        async with connect(hub.url, additional_headers=headers) as one:
            await one.send("+a")
            await server.wait_until(lambda counts: counts.messages_received == 1)
            assert server.received == ["want a"]
        assert (await hub.end())[0] == 0
    code, _, errors = await run(env, "share", "ws://127.0.0.1:9/", "--merge", "feeds:Broken")
    assert code == 2
    assert "needs the methods read, subscribe, unsubscribe and key_of" in errors


async def test_merged_subscriptions_are_restored_at_the_pace_and_before_what_clients_sent(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "feeds.py").write_text(
        "import json\n"
        "from onesocket.hub import JsonMerge\n"
        "class OneFramePerTopic(JsonMerge):\n"
        "    def subscribe(self, keys):\n"
        "        return [frame for key in sorted(keys) for frame in super(OneFramePerTopic, self).subscribe([key])]\n"
    )
    env = {**environment, "PYTHONPATH": str(tmp_path)}
    options = ["--merge", "feeds:OneFramePerTopic", "--control-pace", "5/1"]
    keys = {f"k{number}" for number in range(8)}
    limit = MessageLimit(messages=5, per=0.7, counts=lambda message: '"op"' in str(message))
    async with FaultyServer(echo=False, message_limit=limit) as server, sharing(env, server.url, *options) as hub:
        async with connect(hub.url) as one:
            await one.send(json.dumps({"op": "subscribe", "args": sorted(keys)}))
            await server.wait_until(lambda _: server.history[0].subscriptions.keys == keys, DEADLINE)
            await server.stop_listening(kill=True)
            assert hub.process.stderr is not None
            async with asyncio.timeout(DEADLINE):
                while b"the upstream was lost" not in await hub.process.stderr.readline():
                    pass
            await one.send("waited")
            await server.start()
            await server.wait_until(lambda _: "waited" in server.received, DEADLINE)
            assert server.received[-1] == "waited"
            assert server.history[-1].subscriptions.keys == keys
            assert server.history[-1].subscriptions.odd == {}
            assert len(server.history) == 2
        assert (await hub.end())[0] == 0


async def test_a_client_that_comes_late_begins_with_the_last_values(environment: dict[str, str]) -> None:
    async with (
        FaultyServer() as server,
        sharing(environment, server.url, "--last-values", "data.key") as hub,
        connect(hub.url) as one,
    ):
        for text in ('{"data": {"key": "a"}, "is": 1}', '{"data": {"key": "a"}, "is": 2}', "no key"):
            await one.send(text)
            assert await one.recv() == text
        async with connect(hub.url) as late:
            assert await late.recv() == '{"data": {"key": "a"}, "is": 2}'


@pytest.mark.parametrize("merge", [(), ("--merge", "json")])
async def test_programs_and_clients_of_the_hub_with_the_same_ids_get_their_own_answers(
    environment: dict[str, str], merge: tuple[str, ...]
) -> None:
    options = ["--request-id", "req", "--protocol", "json", *merge]
    async with FaultyServer() as server, sharing(environment, server.url, *options) as hub:
        async with connect(hub.url) as one, connect(hub.url) as two:
            for program, name in ((one, "one"), (two, "two")):
                await program.send(json.dumps({"req": 1, "from": name}))
            for program, name in ((one, "one"), (two, "two")):
                assert json.loads(await program.recv()) == {"req": 1, "from": name}
        assert sorted(json.loads(data)["req"] for data in server.received) == [1, 2]


async def test_python_programs_count_their_requests_together_with_the_hub_s_clients(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONESOCKET_RUNTIME_DIR", environment["ONESOCKET_RUNTIME_DIR"])
    options = ["--scope", "host", "--request-id", "req", "--protocol", "json"]
    protocol = Json(requests=Requests(id="req"))
    async with FaultyServer() as server:
        async with (
            sharing(environment, server.url, *options) as hub,
            connect(hub.url) as program,
            join(server.url, scope="host", protocol=protocol) as client,
        ):
            for number in range(3):
                await program.send(json.dumps({"req": number, "from": "program"}))
                assert await client.request({"req": number, "from": "Python"}) == {"req": number, "from": "Python"}
                assert json.loads(await program.recv()) == {"req": number, "from": "program"}
            assert sorted(json.loads(data)["req"] for data in server.received) == [1, 2, 3, 4, 5, 6]
        assert server.counts.most_open == 1


async def test_a_silent_upstream_is_replaced(environment: dict[str, str]) -> None:
    async with (
        FaultyServer(echo=False) as server,
        sharing(environment, server.url, "--silence-timeout", "0.2") as hub,
    ):
        await server.wait_until(lambda counts: counts.upgraded >= 2, DEADLINE)
        assert server.counts.most_open == 1
        assert (await hub.end())[0] == 0


async def test_the_hub_keeps_the_pace_whatever_its_clients_send(environment: dict[str, str]) -> None:
    limit = MessageLimit(messages=10, per=0.35)
    async with (
        FaultyServer(echo=False, message_limit=limit) as server,
        sharing(environment, server.url, "--pace", "10/0.5s") as hub,
        connect(hub.url) as one,
        connect(hub.url) as other,
    ):
        for number in range(15):
            await one.send(f"one {number}")
            await other.send(f"other {number}")
        await server.wait_until(lambda counts: counts.messages_received == 30, DEADLINE)
        assert len(server.history) == 1
        assert (await hub.end())[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the URL of the upstream is missing"),
        (["ws://h/", "--listen", "nonsense"], "--listen wants HOST:PORT"),
        (["ws://h/", "--listen", "0.0.0.0:1"], "give a local token"),
        (["http://h/"], "did you mean ws://?"),
        (["ws://h/", "--protocol", "xml"], "--protocol is raw or json"),
        (["ws://h/", "--merge", "nothing"], "--merge wants module:object"),
        (["ws://h/", "--merge", "no_such_module:x"], "can't be loaded"),
        (["ws://h/", "--header", "s3cret"], "'Name: value'"),
        (["ws://h/", "--local-token-file", "/no/such/file"], "can't be read from /no/such/file"),
        (["--discord"], "needs the bot's token"),
        (["--discord", "--token", "x", "--merge", "json"], "--discord can't be combined with --merge"),
        (["--discord", "--token", "x", "--protocol", "json"], "--discord can't be combined with"),
        (["ws://h/", "--metrics", "unix:/x"], "--metrics wants HOST:PORT"),
        (["ws://h/", "--merge-key", "a.b"], "--merge-key has no effect without --merge json"),
        (["ws://h/", "--merge-action", "op"], "--merge-action has no effect without --merge json"),
        (["ws://h/", "--merge", "json:loads", "--merge-keys", "x"], "--merge-keys has no effect without --merge json"),
        (["ws://h/", "--control-pace", "5"], "--control-pace has no effect without --merge"),
        (["ws://h/", "--merge", "json", "--control-pace", "fast"], "--control-pace wants N or N/SECONDS"),
        (["ws://h/", "--pace", "0/1"], "--pace wants N or N/SECONDS"),
        (["--discord", "--token", "x", "--last-values", "s"], "--last-values has no effect with --discord"),
        (["--discord", "--token", "x", "--request-id", "s"], "--request-id has no effect with --discord"),
        (["ws://h/", "--request-id", ""], "id must be the key of the id"),
        (["--discord", "--token", "x", "--pace", "5"], "--discord can't be combined with --merge, --gap-message"),
        (["--discord", "--token", "x", "--cluster", "xy://h"], "must begin with one of redis:"),
        (["--discord", "--token", "x", "--scope", "host", "--linger", "1"], "can't be combined with --linger"),
        (["ws://h/", "--intents", "3"], "--intents has no effect without --discord"),
        (["ws://h/", "--allow-origin", "example"], "'example' is the origin of no web page"),
    ],
)
def test_misuse_is_status_2_and_one_line(environment: dict[str, str], arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["share", *arguments], env={**environment, "ONESOCKET_TOKEN": ""})
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "s3cret" not in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("form", [[], ["--json"]])
async def test_a_list_that_can_not_be_written_is_status_1_and_one_line(
    environment: dict[str, str], form: list[str]
) -> None:
    with Path("/dev/full").open("w") as full:  # noqa: ASYNC230 - a device
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "status", *form, stdout=full, stderr=asyncio.subprocess.PIPE, env=environment
        )
    async with asyncio.timeout(DEADLINE):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode() == "onesocket: the list could not be written to stdout: No space left on device\n"


def test_an_empty_local_token_does_not_mean_that_everybody_may_come(environment: dict[str, str]) -> None:
    result = CliRunner().invoke(app, ["share", "ws://h/"], env={**environment, "ONESOCKET_LOCAL_TOKEN": ""})
    assert result.exit_code == 2
    assert "ONESOCKET_LOCAL_TOKEN is empty" in result.stderr


async def test_a_discord_hub_by_the_api_s_address(environment: dict[str, str]) -> None:
    async with ChatServer(options=GatewayOptions(identify_interval=0)) as server:
        env = {**environment, "ONESOCKET_TOKEN": await server.create_bot("robo")}
        async with sharing(env, "--discord", server.api_url, "--intents", "513") as hub:
            async with dial(hub.url) as client:
                await client.hello()
                await client.send(2, {"token": "any", "intents": 513})
                assert (await client.until("GUILD_CREATE"))["d"]["channels"]
                assert (await run(env, "status", "--json"))[1].count('"hub (discord)"') == 1
            assert (await hub.end())[0] == 0
        assert server.stats.identifies == 1


async def greet_a_bot(connection: FaultyConnection) -> None:
    await connection.send('{"op":10,"d":{"heartbeat_interval":45000},"s":null,"t":null}')
    async for message in connection:
        if json.loads(message)["op"] == 2:
            body: dict[str, object] = {"session_id": "s", "resume_gateway_url": None, "user": {"id": "1"}, "guilds": []}
            await connection.send(json.dumps({"op": 0, "d": body, "s": 1, "t": "READY"}))


@pytest.mark.parametrize(
    ("options", "agent"), [([], "DiscordBot (onesocket, "), (["--header", "User-Agent: Mine (x, 1)"], "Mine (x, 1)")]
)
async def test_a_discord_hub_says_who_it_is(environment: dict[str, str], options: list[str], agent: str) -> None:
    async with FaultyServer(handler=greet_a_bot) as server:
        env = {**environment, "ONESOCKET_TOKEN": "t"}
        async with sharing(env, "--discord", server.url, "--header", "X-Edge: y", *options) as hub:
            async with asyncio.timeout(DEADLINE), dial(hub.url) as client:
                await client.hello()
                await client.send(2, {"token": "any", "intents": 1})
                await client.until("READY")
            headers = server.connections[0].request_headers
            assert headers["User-Agent"].startswith(agent)
            assert headers["X-Edge"] == "y"
            assert (await hub.end())[0] == 0


def test_the_systemd_unit() -> None:
    unit = ROOT / "examples/systemd/onesocket-share.service"
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit, encoding="utf-8")
    assert "onesocket share" in parser["Service"]["ExecStart"]
    assert parser["Service"]["Restart"] == "on-failure"
    if shutil.which("systemd-analyze"):
        told = subprocess.run(  # noqa: S603 - a fixed command
            ["systemd-analyze", "--user", "verify", str(unit)],  # noqa: S607
            capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        wrong = [line for line in told.stderr.splitlines() if unit.name in line and "is not executable" not in line]
        assert not wrong


def test_the_compose_file() -> None:
    text = (ROOT / "examples/compose/compose.yaml").read_text(encoding="utf-8")
    assert "\t" not in text
    assert "services:" in text
    command = re.search(r"^    command: (\[.*\])$", text, re.MULTILINE)
    assert command is not None
    arguments = json.loads(command[1])
    assert arguments[0] == "share"
    assert "--local-token-file" in arguments
