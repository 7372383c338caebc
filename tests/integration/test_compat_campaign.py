"""The driver of `make compat` finds what it is there to find; the libraries themselves are run by `make compat`."""

import os
import sys
from pathlib import Path

import aiohttp
import pytest

from onesocket_discord.server import ChatServer
from tests.campaigns.compat import __main__ as compat
from tests.campaigns.compat import environments, report
from tests.campaigns.compat import restart_trial as together
from tests.campaigns.compat.bot_process import running_bot
from tests.campaigns.compat.environments import NotInstalled, install
from tests.campaigns.compat.libraries import LIBRARIES, NONE, ZLIB, BotEnvironment, Library, TrialCase, trial_cases
from tests.campaigns.compat.restart_trial import RestartTrialResult
from tests.campaigns.compat.trial import STEPS, TrialResult, run_trial
from tests.campaigns.harness.worker_process import WorkerFailure

FAKE = Library("fake", "fake", "1.0", "Python", "fake.py", {NONE: (), ZLIB: ("extra==2.0",)})
RUNTIMES = {"Python": "3.11.7", "Node.js": "20.0.0"}

# A bot without a library and without compression, which does one thing wrong on request.
BOT = """
import asyncio, json, os, sys
import aiohttp
import told

WRONG = os.environ["WRONG"]
IDENTITY = {"token": told.TOKEN, "intents": 1 | 1 << 9 | 1 << 15, "properties": {}}
session = {}

async def connect(http):
    async with http.ws_connect(told.GATEWAY_URL + "?v=10&encoding=json") as socket:
        async for frame in socket:
            payload = json.loads(frame.data)
            op, body, event = payload["op"], payload["d"], payload["t"]
            session["seq"] = payload["s"] or session.get("seq")
            if op == 10 and "session_id" in session and WRONG != "forgets":
                await socket.send_json({"op": 6, "d": {**IDENTITY, **session}})
            elif op == 9 and WRONG == "gives up":
                sys.exit("I am out")
            elif op in (9, 10):
                await socket.send_json({"op": 2, "d": IDENTITY})
            elif op == 7:
                return await socket.close(code=4000)
            elif event == "READY":
                session["session_id"] = body["session_id"]
                told.ready()
            elif event == "MESSAGE_CREATE":
                await take(http, body["content"], body["channel_id"])

async def take(http, content, channel):
    answer = told.message(content)
    if content.startswith(WRONG):
        told.message(content)
    if answer and WRONG == "dies":
        sys.exit("no answer from me")
    if answer:
        headers = {"Authorization": "Bot " + told.TOKEN}
        url = f"{told.API_URL}/channels/{channel}/messages"
        status = 429
        while status == 429:
            async with http.post(url, json={"content": answer}, headers=headers) as response:
                status = response.status
                if status == 429 and "Via" in response.headers and WRONG != "gives in":
                    await asyncio.sleep((await response.json())["retry_after"])
                else:
                    response.raise_for_status()

async def main():
    print("a line that is no news")
    if WRONG == "crashes":
        sys.exit("broken from the start")
    async with aiohttp.ClientSession() as http:
        while True:
            await connect(http)

asyncio.run(main())
"""


async def run_fake_trial(tmp_path: Path, wrong: str, compression: str = NONE) -> TrialResult:
    script = tmp_path / "fake.py"
    script.write_text(BOT, encoding="utf-8")
    clients = str(Path(compat.__file__).with_name("clients"))
    variables = {**environments.clean_environment(), "PYTHONPATH": clients, "WRONG": wrong}
    return await run_trial(TrialCase(FAKE, compression), [sys.executable], script, tmp_path, variables)


async def test_a_bot_that_does_everything_right_passes_every_step(tmp_path: Path) -> None:
    result = await run_fake_trial(tmp_path, "nothing")
    assert result.steps == dict.fromkeys(STEPS, "")
    assert not result.failed


@pytest.mark.parametrize(
    ("wrong", "step", "reason"),
    [
        ("crashes", "ready", "ready: the bot has ended\n    a line that is no news\n    broken from the start"),
        ("hello", "receives", "received more than once: ['hello'] instead of []"),
        ("dies", "sends", "the bot has ended"),
        ("gives in", "waits (429)", "the bot has ended"),
        ("forgets", "resumes (op 7)", "resumes: 0 instead of 1"),
        ("while you", "resumes (op 7)", "received more than once: ['while you were away'] instead of []"),
        ("gives up", "new session (op 9)", "the bot has ended"),
    ],
)
async def test_what_a_bot_does_wrong_is_found_at_its_step(tmp_path: Path, wrong: str, step: str, reason: str) -> None:
    result = await run_fake_trial(tmp_path, wrong)
    assert reason in result.steps[step]
    assert result.steps == {**dict.fromkeys(list(STEPS)[: list(STEPS).index(step)], ""), step: result.steps[step]}
    assert result.failed


async def test_a_bot_without_the_compression_of_its_row_is_found(tmp_path: Path) -> None:
    result = await run_fake_trial(tmp_path, "nothing", ZLIB)
    assert result.steps == {"ready": "compression: none instead of zlib-stream"}


@pytest.mark.parametrize(
    ("query", "compress", "counted"),
    [
        ("", False, (0, 0, 0)),
        ("", True, (0, 0, 1)),
        ("&compress=zlib-stream", True, (1, 0, 0)),
        ("&compress=zstd-stream", True, (0, 1, 0)),
    ],
)
async def test_the_server_counts_what_was_asked_for(query: str, compress: bool, counted: tuple[int, int, int]) -> None:
    async with ChatServer() as server, aiohttp.ClientSession() as http:
        token = await server.create_user("ann", "a secret of ann's")
        async with http.ws_connect(f"{server.gateway_url}?v=10&encoding=json{query}") as socket:
            await socket.send_json(
                {"op": 2, "d": {"token": token, "intents": 1, "properties": {}, "compress": compress}}
            )
            stats = await server.wait_for(lambda stats: stats.identifies == 1)
    assert (stats.zlib_stream, stats.zstd_stream, stats.packed) == counted


async def test_a_bot_that_does_nothing_in_time_is_told_of_and_gone_afterwards(tmp_path: Path) -> None:
    script = 'import json, os, time; print(json.dumps({"event": "message", "content": str(os.getpid())}), flush=True)'
    command = [sys.executable, "-c", f"{script}; time.sleep(600)"]
    async with running_bot(command, tmp_path, environments.clean_environment()) as bot:
        await bot.until(lambda: bool(bot.messages), "its pid", 30.0)
        with pytest.raises(WorkerFailure, match=r"^ready: the bot took more than 0\.01 s$"):
            await bot.until(lambda: bot.ready > 0, "ready", 0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(int(bot.messages[0]), 0)


# --- environments -----------------------------------------------------------------------------------------------------


async def test_an_environment_is_made_once_and_again_when_its_pins_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, ...]] = []

    async def make(folder: Path, packages: tuple[str, ...]) -> None:
        made.append(packages)
        (folder / "library").touch(exist_ok=False)  # what was there before is gone
        if "broken==1" in packages:
            raise NotInstalled("no such thing")

    monkeypatch.setattr(environments, "_install_python", make)
    await install(BotEnvironment("fake", "Python", ("fake==1",)), tmp_path)
    await install(BotEnvironment("fake", "Python", ("fake==1",)), tmp_path)
    assert made == [("fake==1",)]
    await install(BotEnvironment("fake", "Python", ("fake==2",)), tmp_path)
    assert made == [("fake==1",), ("fake==2",)]
    for _ in range(2):
        with pytest.raises(NotInstalled):
            await install(BotEnvironment("fake", "Python", ("broken==1",)), tmp_path)
    assert len(made) == 4


def test_what_can_not_be_installed_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no node
    monkeypatch.setattr(compat, "FOLDER", tmp_path / ".compat")
    assert compat.main(["--only", "eris"]) == 1
    out = capsys.readouterr().out
    assert "2 of 2 failed" in out
    assert "eris 0.18.0, none: ready: can't be installed: node is not on the path" in out

    async def refuse(*_: object) -> None:
        raise NotInstalled("no room")

    monkeypatch.setattr(environments, "install", refuse)
    assert compat.main(["--only", "together"]) == 1
    assert "can't be installed: no room" in capsys.readouterr().out


def test_rows_share_an_environment_unless_something_has_to_be_installed_beside() -> None:
    assert [row.environment for row in (TrialCase(FAKE, NONE), TrialCase(FAKE, ZLIB))] == [
        BotEnvironment("fake", "Python", ("fake==1.0",)),
        BotEnvironment("fake+extra", "Python", ("fake==1.0", "extra==2.0")),
    ]
    assert {row.library.runtime for row in trial_cases(python_only=True)} == {"Python"}
    assert list(dict.fromkeys(row.library.name for row in trial_cases())) == [library.name for library in LIBRARIES]
    assert [str(row) for row in trial_cases(("nextcord",))] == ["nextcord 2.6.0, zlib-stream"]


# --- report -----------------------------------------------------------------------------------------------------------


def test_the_table_says_what_failed_and_what_was_not_reached() -> None:
    failed = TrialResult(TrialCase(FAKE, ZLIB), {"ready": "", "receives": "a | b\nmore"})
    good = TrialResult(TrialCase(FAKE, NONE), dict.fromkeys(STEPS, ""))
    document = report.document([good, failed], RUNTIMES, "2026-01-02")
    assert "| fake | 1.0 | Python 3.11.7 | none | ok | ok | ok | ok | ok |" in document
    assert (
        "| fake | 1.0 | Python 3.11.7 | zlib-stream | ok | failed | not reached | not reached | not reached |"
        in document
    )
    assert document.endswith("\n- fake 1.0, zlib-stream: receives: a | b")
    assert "fake 1.0, zlib-stream: receives: a | b\nmore" in report.terminal_text([good, failed], RUNTIMES)


def test_the_last_trial_says_what_failed_and_what_was_not_reached() -> None:
    first, second, *others = together.STEPS
    failed = RestartTrialResult("fake 1.0", {first: "", second: "too late\nmore"})
    assert failed.failed
    document = report.restart_trial_document(failed)
    assert f"| {first} | ok |\n| {second} | failed: too late |\n| {others[0]} | not reached |" in document
    assert f"{second}: failed: too late\nmore" in report.restart_trial_text(failed)
    good = RestartTrialResult("fake 1.0", dict.fromkeys(together.STEPS, ""), "one\ntwo")
    assert not good.failed
    assert report.restart_trial_document(good).endswith("\n\n- one\n- two")
