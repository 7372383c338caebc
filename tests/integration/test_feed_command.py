"""``onesocket feed``: the command as a process of its own, in a pipe and at a terminal, against a fake venue."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from onesocket import join
from onesocket.services import alpaca
from onesocket.testing.services import AlpacaVenue, HomeAssistantVenue, VenueEvent
from tests.support.commands import COMMAND, end_by_signal, run_command, start_command
from tests.support.terminal import DEADLINE, Terminal, command_at_terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, pipes and terminals of POSIX")

TOKEN = "key:secret"
AAPL = {"T": "t", "S": "AAPL", "p": 187.5, "s": 100}
MSFT = {"T": "b", "S": "MSFT", "o": 1, "h": 4, "l": 0.5, "c": 3, "v": 9}


def environment(**more: str) -> dict[str, str]:
    unset = ("ONESOCKET_TOKEN", "APCA_API_KEY_ID", "APCA_API_SECRET_KEY", "COLUMNS", "LINES")
    return {**{name: value for name, value in os.environ.items() if name not in unset}, **more}


@pytest.fixture
async def venue() -> AsyncIterator[AlpacaVenue]:
    async with AlpacaVenue(refused=["OOPS"], accounts={"key": "secret", "loose": "s3cret-of-loose"}) as one:
        yield one


class FeedProcess:
    """The running command, with its output in a pipe."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = await self.process.stdout.readline()
        assert line, (await self.process.communicate())[1]
        return json.loads(line)


@asynccontextmanager
async def feeding(venue: AlpacaVenue, *arguments: str, token: str = TOKEN) -> AsyncIterator[FeedProcess]:
    command = ("feed", "alpaca", "--url", venue.url, *arguments)
    process = await start_command(*command, env=environment(ONESOCKET_TOKEN=token))
    try:
        yield FeedProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def until_subscribed(venue: AlpacaVenue, *keys: str) -> None:
    await venue.wait_until(lambda _: venue.keys == set(keys), DEADLINE)


async def test_with_the_scope_host_it_shares_the_connection_of_the_account(
    venue: AlpacaVenue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONESOCKET_RUNTIME_DIR", str(tmp_path / "run"))
    async with (
        join(venue.url, token=TOKEN, protocol=alpaca.protocol(), scope="host") as program,
        feeding(venue, "AAPL", "--scope", "host", "--count", "1") as feed,
    ):
        bars = program.subscribe(keys=["bars.MSFT"], gaps=False)
        await until_subscribed(venue, "trades.AAPL", "bars.MSFT")
        venue.push(AAPL)
        assert (await feed.line())["key"] == "trades.AAPL"
        async with asyncio.timeout(DEADLINE):
            _, remarks = await feed.process.communicate()
        assert (feed.process.returncode, b"Traceback" in remarks) == (0, False)
        await until_subscribed(venue, "bars.MSFT")  # it has left, the connection stays
        venue.push(MSFT)
        assert getattr(await anext(bars), "close", None) == 3.0
        assert venue.counts.handshakes == 1


async def test_in_a_pipe_it_prints_a_line_of_json_for_each_message_of_its_keys(venue: AlpacaVenue) -> None:
    async with feeding(venue, "AAPL", "bars.MSFT", "--count", "2") as feed:
        await until_subscribed(venue, "trades.AAPL", "bars.MSFT")
        venue.push(AAPL)
        venue.push(MSFT)
        first, second = await feed.line(), await feed.line()
        assert (first["key"], first["message"]["T"], first["message"]["p"]) == ("trades.AAPL", "t", 187.5)
        assert (second["key"], second["message"]["c"]) == ("bars.MSFT", 3.0)
        async with asyncio.timeout(DEADLINE):
            _, remarks = await feed.process.communicate()
        assert feed.process.returncode == 0
        assert b"connected" in remarks
    counts = await venue.wait_until(lambda counts: counts.open_now == 0, DEADLINE)
    assert dict(counts.close_codes) == {1000: 1}


async def test_gaps_and_refusals_stand_in_the_lines_and_in_the_remarks(venue: AlpacaVenue) -> None:
    async with feeding(venue, "AAPL", "OOPS") as feed:
        assert await feed.line() == {"refused": ["trades.OOPS"], "reason": "invalid syntax (400)"}
        await until_subscribed(venue, "trades.AAPL")
        venue.kill_connections()
        gap = await feed.line()
        assert (gap["gap"], gap["missed"]) == ("reconnected", None)
        await until_subscribed(venue, "trades.AAPL")
        venue.push(AAPL)
        assert (await feed.line())["key"] == "trades.AAPL"
        status, remarks = await end_by_signal(feed.process, signal.SIGINT)
        assert status == 130
        for told in ("trades.OOPS", "connection lost", "gap: the connection was down", "closed"):
            assert told in remarks


async def test_without_any_key_left_it_ends_with_status_1(venue: AlpacaVenue) -> None:
    async with feeding(venue, "OOPS") as feed:
        assert "refused" in await feed.line()
        async with asyncio.timeout(DEADLINE):
            _, errors = await feed.process.communicate()
        assert feed.process.returncode == 1
        assert b"all keys were refused" in errors


async def test_wait_ends_it_with_status_0_and_fewer_than_count_with_1(venue: AlpacaVenue) -> None:
    command = ("feed", "alpaca", "AAPL", "--url", venue.url, "--wait", "0")
    env = environment(ONESOCKET_TOKEN=TOKEN)
    assert (await run_command(*command, "-q", env=env))[:2] == (0, "")
    status, _, errors = await run_command(*command, "--count", "3", env=env)
    assert (status, "0 of --count 3 messages" in errors) == (1, True)


async def test_the_token_comes_from_the_services_own_variables_a_file_or_stdin_and_is_never_shown(
    venue: AlpacaVenue, tmp_path: Path
) -> None:
    command = ("feed", "alpaca", "AAPL", "--url", venue.url, "--wait", "0")
    own = environment(APCA_API_KEY_ID="loose", APCA_API_SECRET_KEY="s3cret-of-loose")
    file = tmp_path / "token"
    file.write_text("loose:s3cret-of-loose\nignored\n")
    assert (await run_command(*command, env=own))[0] == 0
    assert (await run_command(*command, "--token-file", str(file), env=environment()))[0] == 0
    text = file.read_text()
    assert (await run_command(*command, "--token-file", "-", env=environment(), stdin=text))[0] == 0
    wrong = environment(ONESOCKET_TOKEN="loose:not-the-s3cret")
    status, out, errors = await run_command(*command, "--trace", env=wrong)
    assert status == 1
    assert "auth failed (402)" in errors
    assert "not-the-s3cret" not in out + errors


async def test_the_arguments_of_the_running_command_hold_no_token(venue: AlpacaVenue) -> None:
    async with feeding(venue, "AAPL", token="loose:s3cret-of-loose") as feed:
        await until_subscribed(venue, "trades.AAPL")
        ps = await asyncio.create_subprocess_exec(
            *("ps", "-o", "args=", "-p", str(feed.process.pid)), stdout=asyncio.subprocess.PIPE
        )
        seen = (await ps.communicate())[0].decode()
        assert "feed alpaca" in seen
        assert "s3cret" not in seen
    async with asyncio.timeout(DEADLINE):
        process = await start_command("feed", "alpaca", "AAPL", "--token", "key:secret", env=environment())
        _, errors = await process.communicate()
    assert (process.returncode, b"--token" in errors) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nasdaq", "AAPL"], "'nasdaq' is none of the services, which are alpaca"),
        (["alpaca"], "onesocket feed alpaca AAPL bars.MSFT"),
        (["alpaca", "bars."], "'bars.' has no symbol"),
        (["alpaca", "AAPL", "--wait", "inf"], "--wait wants a number of seconds, not inf"),
        (["alpaca", "AAPL", "--url", "http://x"], "ws://"),
        (["alpaca", "AAPL", "--scope", "loop"], "--scope is process or host, not 'loop'"),
        (["alpaca", "AAPL", "--scope", "host", "--trace"], "--trace can't be combined with --scope host"),
        (["alpaca", "AAPL", "--token-file", "/nowhere/at/all"], "/nowhere/at/all: No such file"),
    ],
)
async def test_misuse_ends_it_with_status_2_and_the_remedy(arguments: list[str], told: str) -> None:
    status, out, errors = await run_command("feed", *arguments, env=environment(ONESOCKET_TOKEN=TOKEN))
    assert (status, out) == (2, "")
    assert told in errors
    assert "Traceback" not in errors


async def test_a_missing_or_malformed_token_names_its_form() -> None:
    status, _, errors = await run_command("feed", "alpaca", "AAPL", env=environment())
    assert status == 2
    for told in ("KEY_ID:SECRET", "ONESOCKET_TOKEN", "APCA_API_KEY_ID and APCA_API_SECRET_KEY", "--token-file"):
        assert told in errors


async def test_a_malformed_token_is_misuse_too(venue: AlpacaVenue) -> None:
    command = ("feed", "alpaca", "AAPL", "--url", venue.url)
    status, _, errors = await run_command(*command, env=environment(ONESOCKET_TOKEN="s3cret-without-colon"))
    assert (status, "KEY_ID:SECRET" in errors, "s3cret" in errors) == (2, True, False)


async def test_a_reader_that_leaves_ends_it(venue: AlpacaVenue) -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "feed", "alpaca", "AAPL", "-q", "--url", venue.url),
        env=environment(ONESOCKET_TOKEN=TOKEN),
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writing)
    await until_subscribed(venue, "trades.AAPL")
    os.close(reading)
    venue.push(AAPL)
    async with asyncio.timeout(DEADLINE):
        _, errors = await process.communicate()
    assert (errors, process.returncode) == (b"", 0)


async def test_events_of_home_assistant_are_lines_by_their_types() -> None:
    async with HomeAssistantVenue(refused=["secret"]) as venue:
        command = ("feed", "home-assistant", "--url", venue.url, "-q", "--count", "1", "state_changed", "secret")
        process = await start_command(*command, env=environment(HASS_TOKEN="token"))
        await venue.wait_until(lambda _: bool(venue.ledger.of(VenueEvent.REFUSED)) and venue.keys == {"state_changed"})
        venue.push("state_changed", {"entity_id": "light.sink"})
        async with asyncio.timeout(DEADLINE):
            out, errors = await process.communicate()
        refused, event = sorted(map(json.loads, out.splitlines()), key=lambda line: "key" in line)
        assert refused == {"refused": ["secret"], "reason": "Unauthorized (unauthorized)"}
        assert (event["key"], event["message"]["event"]["data"]) == ("state_changed", {"entity_id": "light.sink"})
        assert (process.returncode, b"token" in errors) == (0, False)


# --- the table --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def feeding_terminal(venue: AlpacaVenue, *arguments: str) -> AsyncIterator[Terminal]:
    command = ("feed", "alpaca", "--url", venue.url, *arguments)
    async with command_at_terminal(*command, env=environment(ONESOCKET_TOKEN=TOKEN), size=(140, 30)) as window:
        yield window


async def test_at_a_terminal_it_draws_a_table_with_the_newest_message_of_each_key(venue: AlpacaVenue) -> None:
    async with feeding_terminal(venue, "AAPL", "bars.MSFT", "OOPS") as window:
        await until_subscribed(venue, "trades.AAPL", "bars.MSFT")
        await window.until_drawn("alpaca – connected")
        await window.until_drawn("refused: trades.OOPS: invalid syntax (400)")
        venue.push(AAPL)
        await window.until_drawn("187.5")
        assert "price" in window.drawn
        window.forget()
        venue.push(AAPL | {"p": 190.25}, MSFT)
        await window.until_drawn("190.25")
        await window.until_drawn("bars.MSFT")
        window.forget()
        venue.kill_connections()
        await window.until_drawn("gaps: 1")
        await window.until_drawn("connection lost")
        await until_subscribed(venue, "trades.AAPL", "bars.MSFT")
        window.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE):
            assert await window.process.wait() == 130
        await window.until_drawn("closed")
    counts = await venue.wait_until(lambda counts: counts.open_now == 0, DEADLINE)
    assert counts.close_codes[1000] == 1


async def test_text_of_the_service_cannot_act_upon_the_terminal(venue: AlpacaVenue) -> None:
    async with feeding_terminal(venue, "AAPL") as window:
        await until_subscribed(venue, "trades.AAPL")
        venue.push(AAPL | {"x": "\x1b]0;title\x07[red]"})
        await window.until_drawn("\\u001b]0;title\\u0007[red]")


async def test_at_a_terminal_json_draws_no_table(venue: AlpacaVenue) -> None:
    async with feeding_terminal(venue, "AAPL", "--json") as window:
        await until_subscribed(venue, "trades.AAPL")
        venue.push(AAPL)
        await window.until_drawn('{"key":"trades.AAPL","message":{"T":"t"')
        assert "┃" not in window.drawn
