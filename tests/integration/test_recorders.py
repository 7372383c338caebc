"""Flight recorders of clients of every kind, and the commands that show what they hold."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from onesocket import Client, Provider, blocking, join
from onesocket.cli._app import app
from onesocket.errors import OptionConflict
from onesocket.provider import Identity
from onesocket.recording import FlightRecorder
from onesocket.recording._lines import MessageLine
from onesocket.sharing import HostOptions
from onesocket.testing import Fault, FaultyServer
from tests.support.commands import start_command


def messages(recorder: FlightRecorder | None) -> list[Any]:
    assert recorder is not None
    return [line.data for line in recorder.recording.lines if isinstance(line, MessageLine)]


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_a_shared_connection_has_one_recorder(faulty_server: FaultyServer, scope: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"host_options": HostOptions(directory=str(tmp_path))} if scope == "host" else {}
    recorder = FlightRecorder()
    async with (
        join(faulty_server.url, scope=scope, recorder=recorder, **options) as first,
        join(faulty_server.url, scope=scope, **options) as second,
    ):
        await second.send("hello")
        assert await anext(first.subscribe()) == "hello"
        assert first.recorder is second.recorder is recorder
        assert messages(second.recorder) == ["hello", "hello"]
        with pytest.raises(OptionConflict, match="recorder="):
            await join(faulty_server.url, scope=scope, recorder=FlightRecorder(), **options)


def test_a_blocking_client_has_a_recorder(threaded_faulty_server: Any) -> None:
    with blocking.join(threaded_faulty_server.server.url, recorder=FlightRecorder()) as client:
        client.send("hello")
        assert client.receive(10) == "hello"
        assert messages(client.recorder) == ["hello", "hello"]


async def test_a_provider_records_the_connections_of_its_users(faulty_server: FaultyServer) -> None:
    recorder = FlightRecorder()

    def make_client(token: Any) -> Client[Any]:
        return Client(faulty_server.url, token=token, recorder=recorder)

    async with Provider(make_client, auth=lambda: Identity("user", token="a-token")) as provider:
        await provider.connect_if_authenticated()
    assert {line.client for line in recorder.recording.lines} == {1}


async def test_a_client_without_a_recorder_has_none(faulty_server: FaultyServer) -> None:
    async with Client(faulty_server.url) as client:
        assert client.recorder is None
        assert client.internals.options.tap is None


def replay(*arguments: str) -> tuple[int, str, str]:
    """Run ``onesocket replay``; returns its status, output and errors."""
    result = CliRunner().invoke(app, ["replay", *arguments])
    return result.exit_code, result.stdout.strip(), result.stderr.strip()


async def test_replay_shows_a_recording(faulty_server: FaultyServer, tmp_path: Path) -> None:
    faulty_server.faults = [Fault.greeting("title\x1b]0;evil\x07 caf\u00e9\u202e", b"\x00\x9b")]
    recorder = FlightRecorder()
    async with Client(faulty_server.url + "?key=secret", recorder=recorder) as client:
        await client.send("hello")
        await anext(client.subscribe())
    path = tmp_path / "x.jsonl"
    recorder.write(path)
    status, output, errors = replay(str(path))
    assert (status, errors) == (0, "")
    lines = output.split("\n")
    assert all(line.isprintable() for line in lines)
    shown = [line.split("  1 ", 1)[1] for line in lines]
    assert shown[:6] == [
        "= DISCONNECTED -> CONNECTING (Connect)",
        f"> dial {faulty_server.url}?key=***",
        "< open",
        "= CONNECTING -> CONNECTED (ProtocolReady)",
        "< text 23 B title\\u001b]0;evil\\u0007 caf\u00e9\\u202e",
        "< binary 2 B <2 bytes: 00 9b>",
    ]
    assert "> text 5 B hello" in shown
    status, output, _ = replay("--json", str(path))
    assert (status, output) == (0, path.read_text("utf-8").strip())


def test_replay_refuses_what_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    status, output, errors = replay(str(path))
    assert (status, output) == (1, "")
    assert "can't be read: No such file" in errors
    path.write_text("{}\n")
    status, output, errors = replay(str(path))
    assert (status, output) == (2, "")
    assert "is no recording" in errors


def test_replay_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    header = '{"format":"onesocket recording","version":1,"by":"x","at":1.0,"redacted":true,"dropped":7}'
    path.write_text(f'{header}\n{{"kind":"pi')
    status, _, errors = replay(str(path))
    assert status == 0
    assert "7 older lines were dropped" in errors
    assert "the last line was written in part only" in errors


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")
async def test_trace_shows_states_frames_and_what_follows(faulty_server: FaultyServer) -> None:
    faulty_server.faults = [Fault.greeting("token s3cret-token \x1b[31m") | Fault.accept_then_close(1012, "restart")]
    process = await start_command(
        *("connect", "--trace", "--quiet", "--token", "s3cret-token", faulty_server.url + "?q=queryvalue")
    )
    assert process.stdin is not None
    assert process.stdout is not None
    await faulty_server.wait_until(lambda counts: counts.upgraded == 2, 20)
    process.stdin.write(b"hello\n")
    async with asyncio.timeout(20):
        while b"hello" not in await process.stdout.readline():
            pass
        process.stdin.close()
        _, errors = await process.communicate()
    text = errors.decode()
    assert all(line.isprintable() for line in text.splitlines())
    assert "s3cret-token" not in text
    assert "queryvalue" not in text
    lines = [line.split(" ", 2)[2].split(maxsplit=1)[1] for line in text.splitlines()]
    expected = [
        "1 = DISCONNECTED -> CONNECTING (Connect)",
        f"1 > dial {faulty_server.url}?q=*** headers Authorization",
        "1 < open",
        "1 = CONNECTING -> CONNECTED (ProtocolReady)",
        "1 < text 24 B token *** \\u001b[31m",
        "1 < CLOSE 1012 restart",
        "2 = CONNECTING -> CONNECTED (ProtocolReady)",
        "2 > text 5 B hello",
        "2 < text 5 B hello",
        "2 = CLOSING -> CLOSED (ConnectionGone)",
    ]
    assert [line for line in lines if line in expected] == expected
    assert any("-> BACKING_OFF" in line and "1012" in line and "; next attempt" in line for line in lines)
