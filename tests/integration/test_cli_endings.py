"""The end of ``onesocket connect`` in pipes and terminals, against the server of `websockets`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve, unix_serve
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell, pipes and terminals of POSIX")

PATIENCE = 20
Handler = Callable[[ServerConnection], Awaitable[None]]


def answering(delay: float) -> Handler:
    """A handler that answers each message with the same text, `delay` seconds later."""

    async def handler(connection: ServerConnection) -> None:
        async with asyncio.TaskGroup() as tasks:
            async for message in connection:
                tasks.create_task(answer(connection, message))

    async def answer(connection: ServerConnection, message: str | bytes) -> None:
        await asyncio.sleep(delay)
        with contextlib.suppress(ConnectionClosed):
            await connection.send(message)

    return handler


async def flood(connection: ServerConnection) -> None:
    """Send messages without end."""
    number = 0
    while True:
        await connection.send(f"{number}")
        await asyncio.sleep(0)  # send() takes no turn of the loop while the kernel has room
        number += 1


@contextlib.asynccontextmanager
async def running(handler: Handler) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{_port(server)}/"


def _port(server: Server) -> int:
    port = next(iter(server.sockets)).getsockname()[1]
    assert isinstance(port, int)
    return port


async def in_shell(command: str, url: str, stdin: int = asyncio.subprocess.DEVNULL) -> tuple[int, str, str]:
    """Run a line of the shell in which CONNECT stands for the command; returns its status, output and errors."""
    line = command.replace("CONNECT", f"{shlex.quote(sys.executable)} -m onesocket connect -q").replace("URL", url)
    process = await asyncio.create_subprocess_shell(
        line, stdin=stdin, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            output, errors = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def test_answers_that_come_a_moment_after_the_end_of_a_pipe_are_printed() -> None:
    async with running(answering(0.1)) as url:
        assert await in_shell(r"printf 'one\ntwo\n' | CONNECT URL", url) == (0, "one\ntwo\n", "")


@pytest.mark.parametrize(
    ("options", "printed"),
    [("--wait 0", ""), ("--wait 10 --count 1", "question\n"), ("--count 1", "question\n"), ("--stay --wait 0.01", "")],
)
async def test_wait_bounds_the_time_for_answers_and_count_ends_it(options: str, printed: str) -> None:
    async with running(answering(0.3)) as url:
        assert await in_shell(f"echo question | CONNECT {options} URL", url) == (0, printed, "")


async def test_without_lines_it_ends_at_once_and_with_wait_or_count_it_prints_what_comes() -> None:
    async def greet(connection: ServerConnection) -> None:
        await asyncio.sleep(0.05)
        await connection.send("hello")
        await connection.wait_closed()

    async with running(greet) as url:
        assert await in_shell("CONNECT URL </dev/null", url) == (0, "", "")
        assert await in_shell("CONNECT --wait 0.5 URL </dev/null", url) == (0, "hello\n", "")
        assert await in_shell("CONNECT --stay --count 1 URL </dev/null", url) == (0, "hello\n", "")


async def test_count_ends_a_feed_without_end_after_so_many_messages_in_order() -> None:
    closed: asyncio.Queue[int | None] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        try:
            await flood(connection)
        except ConnectionClosed as ended:
            closed.put_nowait(ended.rcvd.code if ended.rcvd else None)

    reading, writing = os.pipe()  # whose end never comes
    try:
        async with running(handler) as url:
            assert await in_shell("CONNECT --count 3 URL", url, reading) == (0, "0\n1\n2\n", "")
            assert await asyncio.wait_for(closed.get(), PATIENCE) == 1000
    finally:
        os.close(reading)
        os.close(writing)


async def test_count_goes_on_over_a_lost_connection() -> None:
    async def once(connection: ServerConnection) -> None:
        await connection.send("hello")
        connection.transport.abort()

    async with running(once) as url:
        status, output, _ = await in_shell("CONNECT --count 2 URL </dev/null", url)
    assert (status, output) == (0, "hello\nhello\n")


@pytest.mark.parametrize("options", ["--wait 0.2", "--no-reconnect"])
async def test_fewer_messages_than_count_are_a_failure(options: str) -> None:
    async def once(connection: ServerConnection) -> None:
        await connection.send("hello")
        if options == "--no-reconnect":
            await connection.close()
        await connection.wait_closed()

    async with running(once) as url:
        status, output, errors = await in_shell(f"CONNECT --count 2 {options} URL </dev/null", url)
    assert (status, output) == (1, "hello\n")
    assert errors == "onesocket: the server sent 1 of --count 2 messages\n"


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "soon"])
async def test_a_time_that_can_t_be_awaited_is_misuse(value: str) -> None:
    status, _, errors = await in_shell(f"CONNECT --wait {value} URL </dev/null", "ws://127.0.0.1:9/")
    assert status == 2
    assert "--wait" in errors


async def in_terminal(url: str, *options: str, typed: bytes) -> tuple[int, bytes]:
    """Type this into the command, which has a pseudo-terminal as its stdin; returns its status and output."""
    import pty  # noqa: PLC0415 - POSIX only

    ours, theirs = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "onesocket", "connect", "-q", *options, url),
            stdin=theirs,
            stdout=asyncio.subprocess.PIPE,
        )
        os.write(ours, typed)
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(("options", "printed"), [((), b""), (("--count", "1"), b"question\n")])
async def test_the_end_of_a_terminal_is_the_end_unless_asked_otherwise(
    options: tuple[str, ...], printed: bytes
) -> None:
    async with running(answering(0.3)) as url:
        assert await in_terminal(url, *options, typed=b"question\n\x04") == (0, printed)


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with unix_serve(answering(0), str(path)):
        for url in (f"ws+unix://{path}", f"unix:{path}"):
            assert await in_shell("echo question | CONNECT --count 1 URL", url) == (0, "question\n", ""), url
