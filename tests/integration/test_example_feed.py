"""examples/feed, by the commands of its tutorial: programs in processes of their own, and the ledger of the venue."""

import asyncio
import importlib
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from onesocket.errors import InvalidOption
from onesocket.testing.services import AlpacaVenue, VenueEvent
from tests.support.terminals import DEADLINE, Terminals

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "feed"
TUTORIAL = (ROOT / "docs" / "one-account.md").read_text("utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```\n", TUTORIAL, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
NOTEBOOK = f"{sys.executable} {ROOT}/tests/support/notebooks.py {EXAMPLE}/notebook.ipynb"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")


def account() -> dict[str, str]:
    """The variables of `account.env`."""
    return dict(re.findall(r"(\w+)=(\S+)", (EXAMPLE / "account.env").read_text("utf-8")))


@pytest.fixture
async def terminals(tmp_path: Path) -> AsyncIterator[Terminals]:
    async with Terminals(tmp_path / "run", account()) as opened:
        yield opened


def command(words: str, replaced: Mapping[str, str] | None = None) -> str:
    """The one command of the tutorial that begins with these words."""
    found: str
    (found,) = {line for line in COMMANDS if line.startswith(words)}
    for old, new in (replaced or {}).items():
        assert old in found
        found = found.replace(old, new)
    return found


async def test_four_programs_in_four_processes_share_one_connection_of_the_account(
    terminals: Terminals,
) -> None:
    async with AlpacaVenue() as venue:
        terminals.environment["FEED_URL"] = venue.url

        async def until_keys(*symbols: str) -> None:
            wanted = {f"trades.{symbol}" for symbol in symbols}
            await venue.wait_until(lambda _: venue.keys == wanted, DEADLINE)

        def push(price: int) -> None:
            for symbol in ("AAPL", "AMZN", "MSFT", "NVDA", "TSLA"):
                venue.push({"T": "t", "S": symbol, "p": price, "s": 1})

        strategy = await terminals.start(command("python examples/feed/strategy.py"))
        await until_keys("AAPL", "MSFT")  # so this process has the connection, until the hub comes
        hub = await terminals.start(command("onesocket share") + " --listen 127.0.0.1:0")
        url = (await hub.until("ready")).split()[1]
        await strategy.until("averages begin anew")  # the hub has taken over
        recorder = await terminals.start(command("python examples/feed/recorder.py", {"trades.csv": "/dev/stdout"}))
        notebook = await terminals.start(NOTEBOOK)
        dashboard = await terminals.start(command("node") + f" --url {url}")
        await until_keys("AAPL", "AMZN", "MSFT", "NVDA", "TSLA")
        push(101)
        push(102)
        await strategy.until("AAPL 101.00 hold", "MSFT 101.00 hold", "AAPL 102.00 buy", "MSFT 102.00 buy")
        await recorder.until("AAPL,101.0,1.0", "TSLA,101.0,1.0", "AAPL,102.0,1.0", "TSLA,102.0,1.0")
        await dashboard.until("AAPL 101.00", "AMZN 101.00", "AAPL 102.00", "AMZN 102.00")
        status, output = await notebook.ended()
        assert status == 0, output
        assert "[('MSFT', 101.0), ('NVDA', 101.0), ('MSFT', 102.0), ('NVDA', 102.0)]" in output
        assert f"[('{venue.url}', {hub.process.pid}, 3, <State.CONNECTED: 'connected'>)]" in output
        assert [len(each.lines) for each in (strategy, recorder, dashboard)] == [5, 4, 4]
        await until_keys("AAPL", "AMZN", "MSFT", "TSLA")
        ledger = venue.ledger
        assert (ledger.most_open, ledger.most_signed_in) == (1, {"key": 1})
        assert (ledger.totals[VenueEvent.OPENED], ledger.totals[VenueEvent.SIGNED_IN]) == (2, 2)
        subscribed = ledger.of(VenueEvent.SUBSCRIBED)
        assert sorted(entry.key for entry in subscribed if entry.connection == subscribed[-1].connection) == [
            f"trades.{symbol}" for symbol in ("AAPL", "AMZN", "MSFT", "NVDA", "TSLA")
        ]

        handed_over = await terminals.start(command("onesocket status --hand-over"))
        status, output = await handed_over.ended()
        assert status == 0, output
        await until_keys("AAPL", "AMZN", "MSFT", "TSLA")  # another process has taken over
        push(103)
        await recorder.until("gap,reconnected,", "AAPL,103.0,1.0", "TSLA,103.0,1.0")
        await dashboard.until("AAPL 103.00", "AMZN 103.00")
        assert (ledger.totals[VenueEvent.OPENED], ledger.totals[VenueEvent.SIGNED_IN]) == (3, 3)
        assert await strategy.interrupted() == 0
        await until_keys("AAPL", "AMZN", "TSLA")
        assert [await each.interrupted() for each in (dashboard, recorder, hub)] == [0, 0, 0]
        counts = await venue.wait_until(lambda counts: counts.sockets_now == 0, DEADLINE)
        assert (counts.most_sockets, set(counts.close_codes)) == (1, {1000})
        assert (ledger.most_signed_in, ledger.totals[VenueEvent.REPEATED]) == ({"key": 1}, 0)


async def test_in_one_process_the_scope_process_is_enough_and_another_process_is_refused(terminals: Terminals) -> None:
    venue = await terminals.start(command("python examples/feed/venue.py"), FEED_URL="ws://127.0.0.1:0/")
    terminals.environment["FEED_URL"] = (await venue.until("fake Alpaca")).split()[-1]
    together = await terminals.start(
        command("SCOPE=process python examples/feed/together.py", {"trades.csv": "/dev/stdout"})
    )
    await together.until("strategy: AAPL", "strategy: MSFT", "AAPL,", "TSLA,")
    alone = await terminals.start(command("SCOPE=process python examples/feed/strategy.py"))
    status, output = await alone.ended()
    assert status == 1
    assert " ".join(output.splitlines()[-1].split()) in " ".join(TUTORIAL.split())
    await venue.until("logged in: 1 (most at once 1, in all 1, refused 1); trades.AAPL trades.MSFT trades.TSLA")
    assert await together.interrupted() == 0
    await venue.until("logged in: 0 (most at once 1, in all 1, refused 1); no subscriptions")
    assert await venue.interrupted() == 0


def import_program(name: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Any:
    """A program of the example, as a module of its own in this process, with these variables."""
    for variable, value in {**account(), **variables}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    for module in ("account", name):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return importlib.import_module(name)


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_the_same_text_shares_in_every_scope(scope: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AlpacaVenue() as venue:
        place = str(tmp_path / "run")
        strategy = import_program("strategy", monkeypatch, SCOPE=scope, FEED_URL=venue.url, ONESOCKET_RUNTIME_DIR=place)
        printed: asyncio.Queue[str] = asyncio.Queue()
        monkeypatch.setattr(strategy, "print", lambda text, **_: printed.put_nowait(text), raising=False)
        tasks = [asyncio.create_task(strategy.main([symbol, "AMZN"])) for symbol in ("AAPL", "MSFT")]
        wanted = {"trades.AAPL", "trades.AMZN", "trades.MSFT"}
        await venue.wait_until(lambda _: venue.keys == wanted, DEADLINE)
        for symbol in ("AAPL", "MSFT", "AMZN"):
            venue.push({"T": "t", "S": symbol, "p": 101, "s": 1})
        async with asyncio.timeout(DEADLINE):
            lines = sorted([await printed.get() for _ in range(4)])
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        ledger = venue.ledger
    assert lines == [f"strategy: {symbol} 101.00 hold" for symbol in ("AAPL", "AMZN", "AMZN", "MSFT")]
    assert (ledger.totals[VenueEvent.OPENED], ledger.totals[VenueEvent.SIGNED_IN]) == (1, 1)
    assert (ledger.most_signed_in, ledger.totals[VenueEvent.REPEATED]) == ({"key": 1}, 0)


def test_a_program_without_an_event_loop_names_the_scopes_that_it_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = import_program("recorder", monkeypatch, SCOPE="loop", FEED_URL="ws://127.0.0.1:9/")
    text = "scope must be 'process', 'host' or 'cluster' without an event loop, not 'loop'"
    with pytest.raises(InvalidOption, match=text):
        recorder.main(tmp_path / "trades.csv", ["AAPL"])
