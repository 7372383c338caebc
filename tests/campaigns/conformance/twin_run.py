"""Runs the cases with the twin of `onesocket.wire` that this process has: as a client, and as a server.

`python -m tests.campaigns.conformance.twin_run FOLDER`; the verdicts go to FOLDER/verdicts.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from onesocket.errors import OnesocketError
from onesocket.wire import IMPLEMENTATION
from onesocket.wire._handshake import Data
from tests.campaigns.conformance import fuzzing_server as server
from tests.campaigns.conformance import report
from tests.campaigns.conformance.agents import EXTENSION_CASES, Agent, Received, agents
from tests.campaigns.conformance.echo_server import echo_server
from tests.campaigns.harness.director import run_command

SERVER_AGENT: Final = "server"
AGENTS: Final = (*(agent.name for agent in agents()), SERVER_AGENT)
_CASE_SECONDS: Final = 120.0
_REQUEST_SECONDS: Final = 30.0


class AgentRun:
    """One client against the fuzzing server: which cases were run, and which did not come to an end."""

    def __init__(self, agent: Agent, url: str) -> None:
        self.name = f"{IMPLEMENTATION}-{agent.name}"
        self.cases: list[str] = []
        self.hung: list[str] = []
        self._agent = agent
        self._url = url

    async def list_cases(self) -> list[str]:
        """The numbers of all cases, in the server's order."""
        count = int(await self._ask("getCaseCount"))
        return [json.loads(await self._ask(f"getCaseInfo?case={number}"))["id"] for number in range(1, count + 1)]

    async def run(self, known: Sequence[str], only: Sequence[str]) -> None:
        """Every case for this agent whose number begins with one of `only`."""
        for number, case in enumerate(known, 1):
            if _is_wanted(case, only) and (self._agent.compresses or not case.startswith(EXTENSION_CASES)):
                self.cases.append(case)
                await self._play(case, number)
        await self._ask(f"updateReports?agent={self.name}", answered=False)

    async def _play(self, case: str, number: int) -> None:
        try:
            async with asyncio.timeout(_CASE_SECONDS):
                await self._agent.converse(f"{self._url}/runCase?case={number}&agent={self.name}", _echo)
        except TimeoutError:
            self.hung.append(case)
        except OnesocketError as error:
            # The server has an opinion too, and that one counts; but an attempt that failed is worth a line.
            print(f"{self.name} {case}: {error}", file=sys.stderr)

    async def _ask(self, question: str, *, answered: bool = True) -> str:
        answers: list[Data] = []
        async with asyncio.timeout(_REQUEST_SECONDS):
            await self._agent.converse(f"{self._url}/{question}", lambda data, _answer: answers.append(data))
        if not answered:
            return ""
        if len(answers) != 1 or not isinstance(answers[0], str):
            raise RuntimeError(f"the fuzzing server answered {question!r} with {answers!r}")
        return answers[0]


def _echo(data: Data, answer: Received) -> None:
    answer(data)


def _is_wanted(case: str, only: Sequence[str]) -> bool:
    return not only or case.startswith(tuple(only))


async def run_all(python2: str, folder: Path, chosen: Sequence[str], only: Sequence[str]) -> list[report.Verdict]:
    """Run the chosen agents, one after the other. Raises `NoServerError`."""
    library = server.install(python2, folder.parent)
    with server.fuzzing_server(python2, library, folder, ["*"]) as url:
        runs = [AgentRun(agent, url) for agent in agents()]
        known = await runs[0].list_cases()
        runs = [run for run, agent in zip(runs, agents(), strict=True) if agent.name in chosen]
        for run in runs:
            await run.run(known, only)
            print(f"{run.name}: {len(run.cases)} cases played", flush=True)
    verdicts = [report.judge(run.name, _results(folder / "reports", run.name), run.cases, run.hung) for run in runs]
    if SERVER_AGENT in chosen:
        wanted = [case for case in known if _is_wanted(case, only)]
        name = f"{IMPLEMENTATION}-{SERVER_AGENT}"
        async with echo_server() as url:
            await server.run_fuzzing_client(python2, library, folder, {name: url}, wanted)
        verdicts.append(report.judge(name, _results(folder / "server-reports", name), wanted, []))
    return verdicts


def _results(reports: Path, agent: str) -> dict[str, Any]:
    index = reports / "index.json"
    results: dict[str, Any] = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    found: dict[str, Any] = results.get(agent, {})
    return found


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python2", required=True)
    parser.add_argument("--agent", action="append", choices=AGENTS)
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("onesocket").setLevel(logging.CRITICAL)  # thousands of broken connections are what this is about
    try:
        verdicts = asyncio.run(run_all(options.python2, options.folder, options.agent or AGENTS, options.only))
    except server.NoServerError as error:
        print(error, file=sys.stderr)
        return 1
    text = json.dumps([asdict(verdict) for verdict in verdicts])
    (options.folder / "verdicts.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    run_command(main)
