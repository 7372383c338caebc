"""Random conversations with other engines, whose ledgers have to agree: `python -m tests.campaigns.differential`.

Each engine (aiohttp, picows, websockets, and `ws` on Node.js, which is installed into `.differential/`) is the server
of the project's client, and the client of the project's server; and the suite of transports runs against `ws`. The twin
of `onesocket.wire` is chosen by ONESOCKET_WIRE. Exits with 1 if two ledgers disagree, if a check fails, and if there is
no Node.js.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import importlib.metadata
import logging
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final, get_args

from onesocket.testing import check_transport
from onesocket.transports._websocket import WebSocketTransport
from onesocket.wire import IMPLEMENTATION
from tests.campaigns.harness.director import run_command
from tests.campaigns.harness.report import ROOT, aligned, markdown_table, shortened
from tests.engines.aiohttp_engine import AiohttpEngine
from tests.engines.conversation import Conversation, Side
from tests.engines.endpoint import Engine
from tests.engines.node_engine import NodeEngine, NoNodeError
from tests.engines.picows_engine import PicowsEngine
from tests.engines.relay import EngineTestPeer
from tests.engines.websockets_engine import WebsocketsEngine
from tools.markers import write_marked

FOLDER: Final = ROOT / ".differential"
PAGE: Final = ROOT / "docs" / "interoperability.md"
HEAD: Final = ("engine", "version", "conversations", "messages", "compressed", "disagreements")


class Balance:
    """The result of one engine."""

    def __init__(self, engine: Engine, version: str) -> None:
        self.problems: list[str] = []
        self._engine = engine
        self._version = version
        self._conversations = self._messages = self._compressed = 0

    async def run(self, seeds: Sequence[int]) -> None:
        """Play every seed, on both sides."""
        for side in get_args(Side):
            for seed in seeds:
                conversation = Conversation(seed, side, self._engine)
                problems = await conversation.run()
                self._conversations += 1
                self._messages += conversation.messages
                self._compressed += conversation.is_compressed
                replay = f"--engine {self._engine.name} --first {seed} --seeds 1"
                self.problems += [f"{self._engine.name} {side} {replay}: {problem}" for problem in problems]

    def row(self) -> list[str]:
        """The cells of its line in a table."""
        counts = (self._conversations, self._messages, self._compressed, len(self.problems))
        return [self._engine.name, self._version, *(f"{count:,}" for count in counts)]


async def play(names: Sequence[str], seeds: Sequence[int]) -> tuple[list[Balance], list[str]]:
    """Run the engines with these names; returns their results, and the checks of the suite that `ws` has passed.

    Raises `NoNodeError`, and the `ExceptionGroup` of `check_transport`.
    """
    node = NodeEngine(FOLDER / "node")
    engines: list[Engine] = [AiohttpEngine(), PicowsEngine(), WebsocketsEngine(), node]
    balances: list[Balance] = []
    checks: list[str] = []
    for engine in engines:
        if engine.name not in names:
            continue
        version = "" if engine is node else importlib.metadata.version(engine.name)
        if engine is node:
            version = await node.start()
        balance = Balance(engine, version)
        balances.append(balance)
        await balance.run(seeds)
        print(" ".join(balance.row()), flush=True)
        if engine is node:
            checks += await check_transport(WebSocketTransport, peer=EngineTestPeer(node))
            compressing = partial(WebSocketTransport, compression="deflate")
            checks += await check_transport(compressing, peer=EngineTestPeer(node, compression=True))
        await engine.aclose()
    return balances, checks


def document(balances: Sequence[Balance], checks: Sequence[str], seeds: Sequence[int]) -> str:
    """The summary for the page."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    head = (
        f"Run on {today}, seeds {seeds[0]} to {seeds[-1]} on each side, twin `{IMPLEMENTATION}`; "
        f"{len(checks)} checks of the suite of transports passed against `ws`."
    )
    return f"{head}\n\n{markdown_table(HEAD, [balance.row() for balance in balances], 2)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    names = ["aiohttp", "picows", "websockets", "ws"]
    parser = argparse.ArgumentParser(prog="make differential", description=__doc__)
    parser.add_argument("--engine", action="append", choices=names, help="default: all")
    parser.add_argument("--seeds", type=int, default=500, help="number of seeds for each side of each engine")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args(arguments)
    logging.getLogger("onesocket").setLevel(logging.CRITICAL)
    seeds = range(options.first, options.first + options.seeds)
    try:
        balances, checks = asyncio.run(play(options.engine or names, seeds))
    except NoNodeError as error:
        print(error, file=sys.stderr)
        return 1
    print(aligned([list(HEAD), *(balance.row() for balance in balances)], 2))
    problems = [problem for balance in balances for problem in balance.problems]
    print("\n".join(shortened(problems)) if problems else f"every ledger agrees ({IMPLEMENTATION})")
    if not (options.engine or problems):
        write_marked(PAGE, f"differential-{IMPLEMENTATION}", document(balances, checks, seeds))
    return 1 if problems else 0


if __name__ == "__main__":
    run_command(main)
