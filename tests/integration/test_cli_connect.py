"""``onesocket connect``: the command as a process of its own, against a server in the test."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from typing import IO, Any

import pytest

from onesocket.testing._faults import Fault, MessageLimit
from onesocket.testing._faulty_server import FaultyServer

# Seconds. Starting Python takes most of it on a busy machine; nothing here waits for this to pass.
PATIENCE = 20.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")


class Command:
    """A running ``onesocket connect``."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.remarks = ""

    async def line(self) -> str:
        """The next line of stdout."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stdout.readline()).decode()

    async def remark(self, wanted: str) -> None:
        """Wait until a line of stderr holds this."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stderr.readline()).decode():
                self.remarks += line
                if wanted in line:
                    return
        raise AssertionError(f"{wanted!r} never came, only: {self.remarks}")

    async def type(self, text: str | bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() if isinstance(text, str) else text)
        await self.process.stdin.drain()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def end(self) -> tuple[int, str]:
        """Close stdin, wait for the end; returns the exit status and what was left in stdout."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate()
        self.remarks += err.decode()
        assert self.process.returncode is not None
        return self.process.returncode, (out or b"").decode()

    async def status(self) -> int:
        """Wait for the end, stdin left open."""
        async with asyncio.timeout(PATIENCE):
            status = await self.process.wait()
        assert self.process.stderr is not None
        self.remarks += (await self.process.stderr.read()).decode()
        return status


@contextlib.asynccontextmanager
async def onesocket(
    *args: str, stdin: int | IO[Any] = PIPE, stdout: int | IO[Any] = PIPE, **env: str
) -> AsyncIterator[Command]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "onesocket",
        "connect",
        *args,
        stdin=stdin,
        stdout=stdout,
        stderr=PIPE,
        env={**os.environ, **env},
    )
    try:
        yield Command(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_typed_lines_are_sent_and_answers_shown(server: FaultyServer) -> None:
    async with onesocket("--wait", "0", server.url) as command:
        await command.type("hello\n")
        assert await command.line() == "hello\n"
        await command.type("wörld\nand the last")
        assert await command.end() == (0, "wörld\nand the last\n")
    assert server.received == ["hello", "wörld", "and the last"]
    await server.wait_until(lambda counts: counts.close_codes == {1000: 1})
    assert server.counts.handshakes == 1
    assert "-- connected" in command.remarks


async def test_a_whole_pipe_comes_through_in_order_before_the_end(server: FaultyServer) -> None:
    lines = "".join(f"{number}\n" for number in range(5_000))
    async with onesocket("--quiet", "--wait", "0", server.url) as command:
        await command.type(lines)
        assert await command.end() == (0, lines)
    assert command.remarks == ""


async def test_stdin_from_a_file(server: FaultyServer) -> None:
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as out:
        file.write(b"one\r\ntwo\n")
        file.seek(0)
        async with onesocket("--wait", "0", server.url, stdin=file, stdout=out) as command:
            assert (await command.end())[0] == 0
        out.seek(0)
        assert out.read() == b"one\ntwo\n"


async def test_stdin_from_a_terminal(server: FaultyServer) -> None:
    import pty  # noqa: PLC0415 - POSIX only

    ours, theirs = pty.openpty()
    try:
        async with onesocket(server.url, stdin=theirs) as command:
            os.write(ours, b"typed\n")
            assert await command.line() == "typed\n"
            os.write(ours, b"\x04")  # Ctrl-D
            assert await command.status() == 0
    finally:
        os.close(ours)
        os.close(theirs)


async def test_without_stdin_it_ends_and_with_stay_it_stays(server: FaultyServer) -> None:
    async with onesocket(server.url, stdin=asyncio.subprocess.DEVNULL) as command:
        assert (await command.end())[0] == 0
    async with onesocket("--stay", server.url, stdin=asyncio.subprocess.DEVNULL) as command:
        await command.remark("connected")
        await server.send("still there?")
        assert await command.line() == "still there?\n"
        command.signal(signal.SIGTERM)
        assert await command.status() == 143


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_closes_the_connection_in_order(server: FaultyServer, number: int, status: int) -> None:
    async with onesocket(server.url) as command:
        await command.remark("connected")
        command.signal(number)
        assert await command.status() == status
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert counts.close_codes == {1000: 1}
    assert counts.unclean_closes == 0
    assert "Traceback" not in command.remarks


async def test_a_signal_during_the_handshake_leaves_nothing_open(server: FaultyServer) -> None:
    release = asyncio.Event()
    server.faults = Fault.hold_upgrade(release)
    async with onesocket(server.url) as command:
        await server.wait_until(lambda counts: counts.handshakes == 1, PATIENCE)
        command.signal(signal.SIGINT)
        await command.remark("closing")
        release.set()
        assert await command.status() == 130
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert counts.premature_closes == 0
    assert counts.close_codes == {1000: 1}


async def test_the_second_signal_ends_at_once(server: FaultyServer) -> None:
    server.faults = Fault.never_acknowledge_close()
    async with onesocket(server.url) as command:
        await command.remark("connected")
        command.signal(signal.SIGINT)
        await server.wait_until(lambda counts: counts.close_codes == {1000: 1})
        started = asyncio.get_running_loop().time()
        command.signal(signal.SIGINT)
        assert await command.status() == 130
        assert asyncio.get_running_loop().time() - started < 4  # close_timeout is 5 s
    assert "aborted" in command.remarks


async def test_a_signal_ends_it_even_when_nobody_reads_stdout(server: FaultyServer) -> None:
    reading, writing = os.pipe()
    try:
        async with onesocket(server.url, stdout=writing) as command:
            await command.remark("connected")
            for _ in range(100):
                await server.send("x" * 100_000)
            command.signal(signal.SIGTERM)
            assert await command.status() == 143
    finally:
        os.close(reading)
        os.close(writing)


async def test_a_reader_of_stdout_that_goes_away_ends_it(server: FaultyServer) -> None:
    reading, writing = os.pipe()
    async with onesocket(server.url, stdout=writing) as command:
        os.close(writing)
        await command.remark("connected")
        os.close(reading)
        await server.send("no subscriber")
        assert await command.status() == 0
    assert "Traceback" not in command.remarks


async def test_a_refused_port_exits_with_1_and_says_what_helps() -> None:
    async with FaultyServer() as gone:
        url = gone.url
    async with onesocket(url) as command:
        assert await command.status() == 1
    assert "is the server up" in command.remarks
    assert "Traceback" not in command.remarks


async def test_a_server_that_never_answers_exits_with_1_at_the_deadline(server: FaultyServer) -> None:
    server.faults = Fault.never_answer()
    async with onesocket("--open-timeout", "0.3", server.url) as command:
        assert await command.status() == 1
    assert "not ready within --open-timeout (0.3 s)" in command.remarks


@pytest.mark.parametrize(
    "args",
    [
        ["http://user:hidden@example.com/?key=hidden"],
        ["ws://example.com:99999"],
        ["not a URL"],
        ["--header", "hidden", "ws://127.0.0.1:9"],
        ["--header", "X: a\nhidden", "ws://127.0.0.1:9"],
        ["--token", "hidden\n", "ws://127.0.0.1:9"],
        ["--token-query", "key", "ws://127.0.0.1:9"],
        ["--subprotocol", "with space", "ws://127.0.0.1:9"],
        ["--open-timeout", "0", "ws://127.0.0.1:9"],
        ["--open-timeout", "nan", "ws://127.0.0.1:9"],
        ["--retry", "--no-reconnect", "ws://127.0.0.1:9"],
        ["--nonsense", "ws://127.0.0.1:9"],
        [],
    ],
)
async def test_misuse_exits_with_2_and_shows_no_secret(args: list[str]) -> None:
    async with onesocket(*args, ONESOCKET_TOKEN="") as command:
        assert await command.status() == 2
    assert command.remarks
    assert "hidden" not in command.remarks
    assert "Traceback" not in command.remarks


async def test_the_request_is_as_asked_for_and_secrets_stay_secret(server: FaultyServer) -> None:
    server.subprotocols = ("chat.v2",)
    args = ["--header", "X-Key: hidden-key", "--subprotocol", "chat.v2", server.url + "feed?room=hidden-room"]
    async with onesocket(*args, ONESOCKET_TOKEN="hidden-token") as command:
        await command.remark("connected (sub-protocol chat.v2)")
        request = server.connections[0]
        assert request.request_path == "/feed?room=hidden-room"
        assert request.request_headers["Authorization"] == "Bearer hidden-token"
        assert request.request_headers["X-Key"] == "hidden-key"
        assert (await command.end())[0] == 0
    assert "hidden" not in command.remarks


async def test_the_token_as_a_query_parameter(server: FaultyServer) -> None:
    async with onesocket("--token-query", "key", server.url, ONESOCKET_TOKEN="hidden") as command:
        await command.remark("connected")
        assert server.connections[0].request_path == "/?key=hidden"
        assert "Authorization" not in server.connections[0].request_headers
    assert "hidden" not in command.remarks


async def test_a_refusal_that_repeats_our_secrets_is_shown_without_them(server: FaultyServer) -> None:
    server.faults = Fault.refuse(401, body="bad token hidden-token or key hidden-key \x1b[2J\x07")
    async with onesocket("--header", "X-Key: hidden-key", server.url, ONESOCKET_TOKEN="hidden-token") as command:
        assert await command.status() == 1
    assert "HTTP 401" in command.remarks
    assert "hidden" not in command.remarks
    assert "\x1b" not in command.remarks
    assert "won't help until something is changed" in command.remarks


async def test_control_characters_of_the_server_never_reach_the_terminal(server: FaultyServer) -> None:
    async with onesocket(server.url) as command:
        await command.remark("connected")
        await server.send("\x1b]0;title\x07 a\nb\tc \x9b31m \u202e\u2028 \U000e0001 caf\u00e9\u00a0\U0001f600")
        assert await command.line() == (
            "\\u001b]0;title\\u0007 a\\nb\\tc \\u009b31m \\u202e\\u2028 \\udb40\\udc01 caf\u00e9\u00a0\U0001f600\n"
        )
        await server.send(b"\x1b[2J")
        assert await command.line() == "<4 bytes: 1b 5b 32 4a>\n"
        await server.close_connections(1008, "go away \x1b[2J")
        assert await command.status() == 1
    assert "go away \\u001b[2J" in command.remarks


async def test_json_is_shown_indented_and_checked_before_it_is_sent(server: FaultyServer) -> None:
    async with onesocket("--json", "--wait", "0", server.url) as command:
        await command.type('{"big": 1e3,  "bell": "\\u0007\\u009b"}\n\nnot JSON\n')
        assert [await command.line() for _ in range(4)] == [
            "{\n",
            '  "big": 1000.0,\n',
            '  "bell": "\\u0007\\u009b"\n',
            "}\n",
        ]
        await server.send("not JSON either")
        await command.remark("gap: a message could not be decoded")
        assert (await command.end())[0] == 1
    assert server.received == ['{"big": 1e3,  "bell": "\\u0007\\u009b"}']
    assert "line 3 was not sent: it is not JSON" in command.remarks


async def test_a_line_that_is_not_utf8_is_not_sent_and_said(server: FaultyServer) -> None:
    async with onesocket("--wait", "0", server.url) as command:
        await command.type(b"caf\xe9\ncaf\xc3\xa9\n")
        assert await command.end() == (1, "café\n")
    assert "line 1 was not sent: it is not UTF-8" in command.remarks


async def test_a_lost_connection_is_opened_again_and_the_gap_is_shown(server: FaultyServer) -> None:
    async with onesocket("--wait", "0", server.url) as command:
        await command.remark("connected")
        server.kill_connections()
        await command.remark("connection lost")
        await command.remark(
            "gap: the connection was down; messages that the server sent meanwhile may be missing here"
        )
        await command.type("again\n")
        assert await command.line() == "again\n"
        assert (await command.end())[0] == 0
    assert server.counts.handshakes == 2
    assert server.counts.most_open == 1


async def test_a_silent_connection_is_opened_again(server: FaultyServer) -> None:
    server.faults = [Fault.mute()]
    async with onesocket("--silence-timeout", "0.2", server.url) as command:
        await command.remark("connection lost: no message came for 0.2 s (--silence-timeout)")
        await server.wait_until(lambda counts: counts.upgraded == 2)
        assert (await command.end())[0] == 0


async def test_lines_keep_to_the_pace(server: FaultyServer) -> None:
    server.message_limit = MessageLimit(5, per=0.2)
    lines = "".join(f"{number}\n" for number in range(12))
    async with onesocket("--quiet", "--pace", "5/0.2", server.url) as command:
        await command.type(lines)
        assert await command.end() == (0, lines)
    assert len(server.history) == 1


async def test_it_may_be_started_before_its_server(server: FaultyServer) -> None:
    server.faults = [Fault.refuse(503), Fault.refuse(503)]
    async with onesocket("--retry", server.url) as command:
        await command.remark("connecting failed: the server answered the upgrade with HTTP 503")
        await command.remark("-- connected")
        await command.type("hello\n")
        assert await command.line() == "hello\n"
        assert (await command.end())[0] == 0
    assert (server.counts.handshakes, server.counts.upgraded) == (3, 1)


async def test_a_message_that_still_waits_at_the_end_is_named(server: FaultyServer) -> None:
    async with onesocket(server.url) as command:
        await command.remark("connected")
        await server.stop_listening(kill=True)
        await command.remark("connection lost")
        await command.type("too late\n")
        await command.remark("line 1 waits")
        command.signal(signal.SIGINT)
        status = await command.status()
    assert status == 130
    assert "line 1 was not sent: it still waited for the connection" in command.remarks


@pytest.mark.parametrize(("code", "status"), [(1000, 0), (1001, 0), (1011, 1), (1008, 1)])
async def test_without_reconnection_the_servers_close_code_decides(
    server: FaultyServer, code: int, status: int
) -> None:
    async with onesocket("--no-reconnect", server.url) as command:
        await command.remark("connected")
        await server.close_connections(code, "that was it")
        assert await command.status() == status
    assert f"the server closed the connection with {code}" in command.remarks
    assert "-- closing" not in command.remarks, "this side only answers"
    assert server.counts.handshakes == 1


async def test_pings_are_sent_as_often_as_asked_for(server: FaultyServer) -> None:
    async with onesocket("--ping-interval", "0.05", server.url) as command:
        await command.remark("connected")
        await server.wait_until(lambda counts: counts.pings >= 3)
    server.reset_counts()
    async with FaultyServer() as other, onesocket("--ping-interval", "0", server.url) as without:
        await without.remark("connected")
        async with onesocket("--ping-interval", "0.05", other.url) as command:
            await command.remark("connected")
            await other.wait_until(lambda counts: counts.pings >= 3)
        assert (await without.end())[0] == 0
    assert server.counts.pings == 0
    assert server.counts.close_codes == {1000: 1}
