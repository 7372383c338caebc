"""``python -m examples.demo``: as `make demo` runs it, and with promises broken on purpose."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.demo.catalog import SCENARIOS
from examples.demo.harness import Harness
from examples.demo.reporter import JsonReporter, PlainReporter
from examples.demo.runner import run
from examples.demo.scenario import Scenario, ScenarioFunction
from onesocket import __version__
from onesocket.wire import IMPLEMENTATION

ESCAPE = "\x1b"
ROOT = Path(__file__).resolve().parents[2]


def onesocket(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "onesocket", *args],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, **env},
    )


def demo(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "examples.demo", *args],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=ROOT,
        env={**os.environ, **env},
    )


def python(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - our own script


def test_every_promise_holds_in_every_row() -> None:
    done = demo("--callers", "50", "--json", "--seed", "7")
    report = json.loads(done.stdout)
    assert done.stderr == ""
    assert [row["name"] for row in report["rows"]] == [scenario.name for scenario in SCENARIOS]
    for row in report["rows"]:
        assert row["broken"] == [], row["name"]
        counts = row["onesocket"]
        assert (counts["handshakes"], counts["premature_closes"], counts["hangs"]) == (1, 0, 0), row["name"]
        assert counts["most_open"] <= 1, row["name"]
        assert counts["most_sockets"] == 1, row["name"]
        assert (counts["left_open"], counts["left_tasks"]) == (0, 0), row["name"]
    assert report["ok"] is True
    assert done.returncode == 0
    assert report["seed"] == 7
    assert set(report["versions"]) == {"onesocket", "websockets", "python"}


def test_the_baseline_shows_its_duplicates() -> None:
    done = demo("--callers", "50", "--json", "--only", "error", "--only", "closing", "--only", "disconnect")
    rows = {row["name"]: row["check_then_connect"] for row in json.loads(done.stdout)["rows"]}
    assert rows["error"]["handshakes"] == rows["error"]["most_open"] == 2
    assert rows["error"]["forgotten"] == 1
    assert rows["closing"]["most_open"] == 2
    assert rows["disconnect"]["premature_closes"] == 1
    assert done.returncode == 0  # the baseline doesn't count


def test_threads_and_processes_share_one_handshake() -> None:
    done = demo("--json", "--only", "threads", "--only", "processes")
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert [rows[name]["onesocket"]["callers"] for name in rows] == [32, 128]
    for row in rows.values():
        assert row["broken"] == []
        assert row["onesocket"]["handshakes"] == 1
        assert row["onesocket"]["outcomes"] == {"joined": row["onesocket"]["callers"]}
        assert row["onesocket"]["close_codes"] == {"1000": 1}
    assert rows["processes"]["check_then_connect"]["handshakes"] == 16
    assert done.returncode == 0


def test_the_last_line_names_the_next_commands() -> None:
    last = demo("--callers", "5", "--only", "connected").stdout.splitlines()[-1]
    commands = re.findall(r"`([^`]+)`", last)
    assert [command.rpartition(" ")[2] for command in commands] == ["serve", "chat"]
    for command in commands:
        program, *arguments = shlex.split(command)
        assert Path(ROOT, program).samefile(sys.executable), "it need not be on the PATH"
        assert arguments[:2] == ["-m", "onesocket"]


def test_piped_output_is_plain() -> None:
    done = demo("--callers", "20", "--only", "connected", "--only", "error", FORCE_COLOR="1")
    assert done.returncode == 0
    assert ESCAPE not in done.stdout
    assert "\r" not in done.stdout
    assert done.stdout.isascii()
    lines = done.stdout.splitlines()
    rows = [line for line in lines if re.match(r"(connected|error) .*\|", line)]
    assert len(rows) == 2
    assert all(line.endswith("| kept") for line in rows)
    bars = {tuple(match.start() for match in re.finditer(r"\|", line)) for line in [*lines[:3], *rows]}
    assert len(bars) == 1, "the columns are not aligned"
    assert "every promise held in 2 rows" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_on_a_terminal_of_80_columns_nothing_is_cut_off() -> None:
    import pty  # noqa: PLC0415 - POSIX only

    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "examples.demo", "--callers", "20", "--only", "connected"]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=terminal, stderr=terminal, cwd=ROOT, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while chunk := os.read(master, 65536):
                shown += chunk
        except OSError:
            pass  # a terminal without a process at its other end
        finally:
            os.close(master)
        assert process.wait(20) == 0
    assert ESCAPE.encode() in shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    rows = [line for line in re.split(r"[\r\n]+", text) if line.startswith("connected ")]
    assert rows
    assert rows[-1].rstrip().endswith("| kept")
    assert len(rows[-1].rstrip()) <= 80


def test_a_row_that_does_not_exist_is_a_usage_error() -> None:
    done = demo("--only", "nowhere")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "nowhere" in done.stderr
    assert "killed-connection" in done.stderr


@pytest.mark.parametrize("command", [["--version"], ["--help"], ["share", "--help"], ["connect", "--help"]])
def test_help_and_version(command: list[str]) -> None:
    done = onesocket(*command)
    assert done.returncode == 0
    assert "onesocket" in done.stdout
    assert ESCAPE not in done.stdout


def test_the_version_says_which_twin_parses_frames() -> None:
    twins = {"c": "C", "python": "Python"}
    assert onesocket("--version").stdout == f"onesocket {__version__} (frames: {twins[IMPLEMENTATION]})\n"
    done = onesocket("--version", ONESOCKET_WIRE="python")
    assert done.stdout == f"onesocket {__version__} (frames: Python)\n"


def test_without_the_extra_one_line_says_what_to_install() -> None:
    script = "import sys; sys.modules['typer'] = None; from onesocket.cli import main; main()"
    done = python(script, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == onesocket("--version").stdout
    done = python(script)
    assert done.returncode == 2
    assert done.stdout == ""
    assert 'pip install "onesocket[cli]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "distribution"), [("serve", "onesocket-discord[server]"), ("chat", "onesocket-chat")]
)
def test_a_command_of_a_distribution_that_is_missing_names_it(command: str, distribution: str) -> None:
    script = (
        "import importlib.metadata as m, sys; found = m.entry_points;"
        "m.entry_points = lambda **of: [e for e in found(**of) if e.value.startswith('onesocket.')];"
        f"from onesocket.cli import main; sys.argv[1:] = [{command!r}, '--host', 'x']; main()"
    )
    done = python(script)
    assert done.returncode == 2
    assert done.stderr == f'onesocket: the command {command} is in another distribution: pip install "{distribution}"\n'


def test_a_frontend_of_a_distribution_that_is_missing_names_it() -> None:
    script = (
        "import importlib.metadata as m, sys; found = m.entry_points;"
        "m.entry_points = lambda **of: [e for e in found(**of) if e.value.startswith('onesocket.')];"
        "from onesocket.cli import main; sys.argv[1:] = ['share', '--discord', '--token', 't']; main()"
    )
    done = python(script)
    assert done.returncode == 2
    assert done.stderr == 'onesocket: --discord is in another distribution: pip install "onesocket-discord"\n'


# --- promises broken on purpose -------------------------------------------------------------------------------------


async def no_calls(harness: Harness) -> None:
    del harness


async def two_connections(harness: Harness) -> None:
    harness.begin()
    for client in (harness.client(), harness.client()):
        harness.group.add(client.connect)
    await harness.group.end()


async def a_hang(harness: Harness) -> None:
    harness.begin()
    harness.group.add(harness.client().connect)
    harness.group.deadline = 0.2
    harness.group.add(asyncio.Event().wait)
    await harness.group.end()


async def a_task_left(harness: Harness) -> None:
    harness.begin()
    await harness.client().connect()
    harness.figures["task"] = id(asyncio.get_running_loop().create_task(asyncio.Event().wait()))


async def a_socket_left(harness: Harness) -> None:
    harness.begin()
    _, writer = await asyncio.open_connection(harness.server.host, harness.server.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    await harness.server.wait_until(lambda counts: counts.open_now == 1)
    asyncio.get_running_loop().call_later(2, writer.close)


async def a_premature_close(harness: Harness) -> None:
    from onesocket.testing._faults import Fault  # noqa: PLC0415

    harness.server.faults = Fault.never_answer()
    client = harness.baseline()
    harness.begin()
    harness.group.add(client.connect)
    await harness.server.wait_until(lambda counts: counts.handshakes == 1)
    client.disconnect()
    await harness.group.end()


async def a_wrong_outcome(harness: Harness) -> None:
    harness.begin()
    harness.group.race(harness.client().connect, 3)
    await harness.group.end()
    harness.expect({"opened": 3})


async def an_exception(harness: Harness) -> None:
    harness.begin()
    await harness.client().connect()
    raise RuntimeError("the scenario went wrong")


async def an_unhandled_error(harness: Harness) -> None:
    harness.begin()
    await harness.client().connect()
    asyncio.get_running_loop().call_exception_handler({"message": "a callback failed"})


def measured(scenario: ScenarioFunction, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    status = run([Scenario("broken", "on purpose", scenario, no_calls)], callers=3, seed=1, reporter=JsonReporter())
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("scenario", "broken"),
    [
        (
            two_connections,
            ["2 handshakes, 1 allowed", "2 open at once, 1 allowed", "2 sockets at once, 1 allowed"],
        ),
        (a_hang, ["1 callers hang after 0.2 s"]),
        (a_task_left, ["1 tasks left after aclose()"]),
        (a_socket_left, ["1 sockets still open after aclose()"]),
        (a_premature_close, ["1 closed before the upgrade was answered"]),
        (a_wrong_outcome, ["1 callers: opened, 3 expected", "2 callers: joined"]),
        (an_exception, ["did not run to its end: RuntimeError: the scenario went wrong"]),
        (an_unhandled_error, ["an unhandled error reached the event loop: a callback failed"]),
        (no_calls, ["0 handshakes, 1 allowed"]),
    ],
)
def test_a_broken_promise_is_named_and_makes_the_exit_status_1(
    scenario: ScenarioFunction, broken: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, report = measured(scenario, capsys)
    assert status == 1
    assert report["ok"] is False
    assert sorted(report["rows"][0]["broken"]) == sorted(broken)


def test_the_plain_table_names_the_broken_promise(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Scenario("broken", "on purpose", two_connections, no_calls)]
    assert run(rows, callers=3, seed=1, reporter=PlainReporter(rows)) == 1
    shown = capsys.readouterr().out
    assert re.search(r"^broken .*\| BROKEN$", shown, re.MULTILINE)
    assert "BROKEN in broken: 2 handshakes, 1 allowed" in shown
    assert "promises broken in 1 of 1 rows" in shown


def test_the_baseline_never_decides(capsys: pytest.CaptureFixture[str]) -> None:
    fine: Callable[[Harness], Any] = next(scenario.onesocket for scenario in SCENARIOS if scenario.name == "connected")
    rows = [Scenario("connected", "the baseline fails", fine, an_exception)]
    assert run(rows, callers=3, seed=1, reporter=JsonReporter()) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"][0]["check_then_connect"]["notes"] == [
        "did not run to its end: RuntimeError: the scenario went wrong"
    ]
