"""Runs Autobahn's fuzzing server against the transports and the client: `python -m tests.campaigns.conformance`.

Exits with 1 if a case failed, was non-strict without an explanation, or was not run; and if there is no Python 2.7,
which the server needs. A whole run's summary goes into docs/conformance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import importlib.metadata
import json
import logging
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from onesocket.errors import OnesocketError
from onesocket.wire._handshake import Data
from tests.campaigns.conformance import fuzzing_server as server
from tests.campaigns.conformance import report
from tests.campaigns.conformance.agents import EXTENSION_CASES, Agent, Received, agents
from tests.campaigns.harness.director import run_command
from tests.campaigns.harness.report import ROOT, write_document

FOLDER: Final = ROOT / ".autobahn"
_CASE_SECONDS: Final = 120.0
_REQUEST_SECONDS: Final = 30.0


class AgentRun:
    """One agent against the server: which cases were run, and which did not come to an end."""

    def __init__(self, agent: Agent, url: str) -> None:
        self.agent = agent
        self.cases: list[str] = []
        self.hung: list[str] = []
        self._url = url

    async def run(self, only: Sequence[str], tell: Callable[[str], None]) -> None:
        """Every case for this agent whose number begins with one of `only`."""
        count = int(await self._ask("getCaseCount"))
        for number in range(1, count + 1):
            case = str(json.loads(await self._ask(f"getCaseInfo?case={number}"))["id"])
            if self._wants(case, only):
                tell(f"{self.agent.name}: {case} ({number} of {count})")
                self.cases.append(case)
                await self._play(case, number)
        await self._ask(f"updateReports?agent={self.agent.name}", answered=False)

    def _wants(self, case: str, only: Sequence[str]) -> bool:
        if case.startswith(EXTENSION_CASES) and not self.agent.compresses:
            return False
        return not only or case.startswith(tuple(only))

    async def _play(self, case: str, number: int) -> None:
        try:
            async with asyncio.timeout(_CASE_SECONDS):
                await self.agent.converse(f"{self._url}/runCase?case={number}&agent={self.agent.name}", _echo)
        except TimeoutError:
            self.hung.append(case)
        except OnesocketError as error:
            # The server has an opinion too, and that one counts; but an attempt that failed is worth a line.
            print(f"\n{self.agent.name} {case}: {error}", file=sys.stderr)

    async def _ask(self, question: str, *, answered: bool = True) -> str:
        answers: list[Data] = []
        async with asyncio.timeout(_REQUEST_SECONDS):
            await self.agent.converse(f"{self._url}/{question}", lambda data, _answer: answers.append(data))
        if not answered:
            return ""
        if len(answers) != 1 or not isinstance(answers[0], str):
            raise RuntimeError(f"the fuzzing server answered {question!r} with {answers!r}")
        return answers[0]


def _echo(data: Data, answer: Received) -> None:
    answer(data)


async def run_agents(
    url: str, chosen: Sequence[Agent], only: Sequence[str], tell: Callable[[str], None]
) -> list[AgentRun]:
    """Every agent, one after the other."""
    runs = [AgentRun(agent, url) for agent in chosen]
    for run in runs:
        await run.run(only, tell)
    return runs


def versions() -> dict[str, str]:
    """The versions of the programs in this run."""
    packages = {name: importlib.metadata.version(name) for name in ("onesocket", "picows", "websockets")}
    return {"autobahntestsuite": server.VERSION, "Python": platform.python_version(), **packages}


def campaign(chosen: Sequence[Agent], only: Sequence[str], folder: Path) -> list[report.Verdict]:
    """Install the server, run it, play, and judge. Raises `NoServerError`."""
    python2 = server.find_python2(server.candidates())
    print(f"fuzzing server on {python2}", flush=True)
    library = server.install(python2, folder)
    live = sys.stdout.isatty()

    def tell(text: str) -> None:
        if live:
            print(f"\r{text:<60}", end="", flush=True)

    with server.fuzzing_server(python2, library, folder, ["*"]) as url:
        runs = asyncio.run(run_agents(url, chosen, only, tell))
    if live:
        print(f"\r{'':<60}\r", end="")
    index = folder / "reports" / "index.json"
    results: dict[str, Any] = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    return [report.judge(run.agent.name, results.get(run.agent.name, {}), run.cases, run.hung) for run in runs]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    known = agents()
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--agent", action="append", choices=[agent.name for agent in known], help="default: all")
    parser.add_argument("--only", action="append", default=[], metavar="PREFIX", help="cases such as 7. or 6.4.1")
    options = parser.parse_args(arguments)
    logging.getLogger("onesocket").setLevel(logging.CRITICAL)  # thousands of broken connections are what this is about
    chosen = [agent for agent in known if not options.agent or agent.name in options.agent]
    try:
        verdicts = campaign(chosen, options.only, FOLDER)
    except server.NoServerError as error:
        print(error, file=sys.stderr)
        return 1
    for verdict in verdicts:
        print(report.printed(verdict), end="\n\n")
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    print("\n".join(problems) if problems else "none failed, and what is non-strict is explained")
    print(f"every case in detail: {FOLDER / 'reports' / 'index.html'}")
    if not options.only and not options.agent:
        today = dt.datetime.now(dt.UTC).date().isoformat()
        write_document("conformance", report.document(verdicts, versions(), today))
    return 1 if problems else 0


if __name__ == "__main__":
    run_command(main)
