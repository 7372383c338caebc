"""Runs the client behind nginx, HAProxy and Caddy, plain and with TLS there: `python -m tests.campaigns.proxies`.

Exits with 1 if a scenario fails, and if a proxy's program can't be had.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import logging
import ssl as ssl_module
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import trustme

from onesocket.testing import FaultyServer
from onesocket.wire import IMPLEMENTATION
from tests.campaigns.harness.director import run_command
from tests.campaigns.harness.report import ROOT, markdown_table
from tests.campaigns.proxies.chat import CHAT_SCENARIOS, chat_stage
from tests.campaigns.proxies.programs import PACKAGES, NoProxyError, find_programs, version
from tests.campaigns.proxies.proxy import Proxy
from tests.campaigns.proxies.scenarios import SCENARIOS, Stage
from tools.markers import write_marked

FOLDER: Final = ROOT / ".proxies"
PAGE: Final = ROOT / "docs" / "interoperability.md"
_SCENARIO_SECONDS: Final = 90.0


class Results:
    """The result of each scenario, by its name and the proxy."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._rows: dict[str, dict[str, str]] = {}

    def add(self, scenario: str, proxy: str, kind: str, text: str, *, failed: bool) -> None:
        """Note one; `kind` is TLS or plain."""
        print(f"{proxy} {kind}, {scenario}: {text}", flush=True)
        if failed:
            self.failures.append(f"{proxy} {kind}, {scenario}: {text}")
        cells = self._rows.setdefault(scenario, {})
        before = cells.get(proxy)
        cells[proxy] = text if before in {None, text} else f"{before}; TLS: {text}"

    def table(self, versions: Mapping[str, str]) -> str:
        """Return the table for the page."""
        names = list(versions)
        rows = [[scenario, *(cells.get(name, "") for name in names)] for scenario, cells in self._rows.items()]
        return markdown_table(["scenario", *(f"{name} {versions[name]}" for name in names)], rows)


async def run(programs: Mapping[str, str], only: Sequence[str], seed: int) -> Results:
    """Run every scenario with every chosen proxy."""
    results = Results()
    authority = trustme.CA()
    certificate = FOLDER / "certificate.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    trust = ssl_module.create_default_context()
    authority.configure_trust(trust)
    for name, program in programs.items():
        for is_secure in (False, True):
            for number, scenario in enumerate(SCENARIOS):
                title = scenario.__name__.replace("_", " ")
                if only and not any(part in title for part in only):
                    continue
                kind = "TLS" if is_secure else "plain"
                folder = FOLDER / f"{name}-{kind.lower()}-{number}"
                async with FaultyServer() as backend:
                    proxy = Proxy(name, program, backend.port, folder, certificate if is_secure else None)
                    try:
                        async with asyncio.timeout(_SCENARIO_SECONDS):
                            await proxy.start()
                            text = await scenario(Stage(proxy, backend, trust if is_secure else None, seed))
                        results.add(title, name, kind, text, failed=False)
                    except Exception as error:  # noqa: BLE001 - each is reported
                        results.add(title, name, kind, f"failed: {type(error).__name__}: {error}", failed=True)
                    finally:
                        await proxy.stop()
        for play in CHAT_SCENARIOS:
            title = f"chat: {play.__name__.replace('_', ' ')}"
            if only and not any(part in title for part in only):
                continue
            folder = FOLDER / f"{name}-chat"
            try:
                async with (
                    asyncio.timeout(_SCENARIO_SECONDS),
                    chat_stage(name, program, folder, certificate, trust) as chat,
                ):
                    text = await play(chat)
                results.add(title, name, "TLS", text, failed=False)
            except Exception as error:  # noqa: BLE001 - each is reported
                results.add(title, name, "TLS", f"failed: {type(error).__name__}: {error}", failed=True)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make proxies", description=__doc__)
    parser.add_argument("--proxy", action="append", choices=list(PACKAGES), help="default: all")
    parser.add_argument("--only", action="append", default=[], metavar="WORDS", help="scenarios with these words")
    parser.add_argument("--seed", type=int, default=0, help="of the messages")
    options = parser.parse_args(arguments)
    logging.getLogger("onesocket").setLevel(logging.CRITICAL)
    FOLDER.mkdir(exist_ok=True)
    try:
        programs = find_programs(FOLDER)
    except NoProxyError as error:
        print(error, file=sys.stderr)
        return 1
    versions = {name: version(name, path, FOLDER) for name, path in programs.items()}
    chosen = {name: path for name, path in programs.items() if not options.proxy or name in options.proxy}
    results = asyncio.run(run(chosen, options.only, options.seed))
    print("\n".join(results.failures) if results.failures else "every scenario is good")
    if not (options.proxy or options.only or results.failures):
        today = dt.datetime.now(dt.UTC).date().isoformat()
        text = f"Run on {today}, twin `{IMPLEMENTATION}`, plain and with TLS at the proxy.\n\n{results.table(versions)}"
        write_marked(PAGE, "proxies", text)
    return 1 if results.failures else 0


if __name__ == "__main__":
    run_command(main)
