"""The campaigns' own judgement, and a short life of each."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onesocket.testing import FaultyServer
from tests.campaigns.conformance import __main__ as conformance
from tests.campaigns.conformance import fuzzing_server as conformance_server
from tests.campaigns.conformance import report as conformance_report
from tests.campaigns.conformance.agents import TransportAgent, agents
from tests.campaigns.conformance.report import behaviour, judge
from tests.campaigns.differential import __main__ as differential
from tests.campaigns.feeds import __main__ as feeds
from tests.campaigns.harness.probe import PROC, Sample
from tests.campaigns.proxies import __main__ as proxies
from tests.campaigns.soak import __main__ as soak
from tests.campaigns.soak.director import INVALID_FRAMES, UPGRADES, Director

OK = {"behavior": "OK", "behaviorClose": "OK", "remoteCloseCode": 1000}
NON_STRICT = OK | {"behavior": "NON-STRICT"}
WRONG_CODE = OK | {"behaviorClose": "WRONG CODE"}

needs_proc = pytest.mark.skipif(not PROC.is_dir(), reason="the soak reads /proc")


# --- conformance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "close", "word"),
    [
        ("OK", "OK", "OK"),
        ("NON-STRICT", "OK", "NON-STRICT"),
        ("INFORMATIONAL", "INFORMATIONAL", "INFORMATIONAL"),
        ("OK", "INFORMATIONAL", "INFORMATIONAL"),
        ("UNIMPLEMENTED", "OK", "UNIMPLEMENTED"),
        ("FAILED", "OK", "FAILED"),
        ("OK", "WRONG CODE", "FAILED"),
        ("NON-STRICT", "UNCLEAN", "FAILED"),
        ("OK", "FAILED BY CLIENT", "FAILED"),
        ("something new", "OK", "FAILED"),
    ],
)
def test_the_worse_behaviour_counts(how: str, close: str, word: str) -> None:
    assert behaviour({"behavior": how, "behaviorClose": close}) == word


def test_a_verdict_complains_of_everything_but_what_is_fine_or_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance_report, "EXPLANATIONS", {"6.4.3": "for a reason"})
    results = {"1.1.1": OK, "6.4.3": NON_STRICT, "1.1.2": NON_STRICT, "7.9.1": WRONG_CODE}
    verdict = judge("c-transport", results, ["1.1.1", "6.4.3", "1.1.2", "7.9.1", "9.1.1"], hung=["2.1"])
    assert [problem.split(":")[0].split()[1] for problem in verdict.problems] == [
        "1.1.2",
        "7.9.1",
        "9.1.1",
        "2.1",
    ]
    assert verdict.counts == {"OK": 1, "NON-STRICT": 2, "FAILED": 2}
    assert "6.4.3" in conformance_report.document([verdict], {"Python": "3"}, "today")
    assert judge("c-transport", {}, [], []).problems


def test_without_a_python_2_it_says_what_is_needed_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(conformance_server, "candidates", lambda: [sys.executable, "/nowhere/python2.7"])
    assert conformance.main([]) == 1
    assert "needs a Python 2.7" in capsys.readouterr().err


async def test_every_agent_echoes_and_comes_back_when_the_connection_is_over() -> None:
    for agent in agents():
        async with FaultyServer(echo=False) as server:
            running = asyncio.create_task(agent.converse(server.url, lambda data, answer: answer(data)))
            await server.wait_until(lambda counts: counts.open_now == 1)
            await server.send("to be echoed")
            await server.wait_until(lambda counts: counts.messages_received == 1)
            await server.close_connections()
            async with asyncio.timeout(5):
                await running
            assert server.received == ["to be echoed"], agent.name
    assert isinstance(agents()[0], TransportAgent)


# --- programs of others ----------------------------------------------------------------------------------------------


def test_without_their_programs_the_campaigns_say_so_and_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(differential, "FOLDER", tmp_path)
    monkeypatch.setattr(proxies, "FOLDER", tmp_path)
    assert differential.main(["--engine", "ws"]) == 1
    assert "needs Node.js" in capsys.readouterr().err
    assert proxies.main([]) == 1
    assert "apt-get is needed" in capsys.readouterr().err


# --- the soak --------------------------------------------------------------------------------------------------------


def test_growth_is_found() -> None:
    small = Sample(tasks=10, descriptors=10, rss=100 << 20, objects=50_000)
    assert small.growth(small) == []
    assert len(Sample(tasks=11, descriptors=11, rss=150 << 20, objects=60_000).growth(small)) == 4


def test_the_same_seed_breaks_the_same() -> None:
    first, second = Director(7, 50), Director(7, 50)
    orders = [first.next() for _ in range(500)]
    assert orders == [second.next() for _ in range(500)]
    assert {order["fault"] for order in orders if order["do"] == "upgrades"} == set(UPGRADES)
    assert {order["garbage"] for order in orders if order["do"] == "garbage"} <= set(INVALID_FRAMES)


# --- a short life ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shortened_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(soak, "SAMPLES", 2)
    monkeypatch.setattr(soak, "REST_SECONDS", 0.3)
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) == before


@needs_proc
def test_a_short_soak_is_good(shortened_waits: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--minutes", "0.04", "--clients", "6", "--rate", "20", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    assert "seed 3" in printed
    assert "good:" in printed


@needs_proc
def test_a_short_soak_of_feeds_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert feeds.main(["--minutes", "0.04", "--seed", "3"]) == 0, capsys.readouterr().out
    printed = capsys.readouterr().out
    assert "seed 3" in printed
    assert "good:" in printed


@needs_proc
def test_a_signal_ends_a_soak_in_order(
    shortened_waits: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = soak.SoakCampaign.__init__

    def interrupted_soon(self: soak.SoakCampaign, *args: object, **options: object) -> None:
        made(self, *args, **options)  # type: ignore[arg-type]
        asyncio.get_running_loop().call_later(1.5, signal.raise_signal, signal.SIGINT)

    monkeypatch.setattr(soak.SoakCampaign, "__init__", interrupted_soon)
    assert soak.main(["--minutes", "5", "--clients", "3", "--seed", "3"]) == 130
    assert "(interrupted)" in capsys.readouterr().out


def test_the_documents_name_the_commands() -> None:
    root = Path(__file__).resolve().parents[3]
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    pages = {name: name for name in ("chaos", "conformance", "soak")} | dict.fromkeys(
        ("differential", "proxies"), "interoperability"
    )
    for name, page in pages.items():
        assert f"\n{name}: " in makefile
        assert f"make {name}" in (root / "docs" / f"{page}.md").read_text(encoding="utf-8")
