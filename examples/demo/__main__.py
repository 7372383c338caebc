"""``python -m examples.demo``: let a thousand components race for one connection, while the server counts."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from onesocket.cli._output import silence_log

from .catalog import SCENARIOS
from .reporter import reporter_for
from .runner import run

_EXIT_USAGE = 2


def demo(
    callers: Annotated[
        int, typer.Option(min=1, max=100_000, help="The number of components that race in each row.")
    ] = 1000,
    only: Annotated[list[str] | None, typer.Option(metavar="ROW", help="Run only this row (may be repeated).")] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Repeat a run with the same random choices. Default: a new one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Let a thousand components race for one connection, while the server counts.

    A server on loopback counts handshakes, open WebSockets and premature closes. In each row the components race in
    another state, or during a failure; next to it stands the same row for the check-then-connect client, which many
    applications use.

    Exit status: 0 if every promise held, 1 if one was broken, 2 if the command was misused.
    """
    silence_log()
    names = [scenario.name for scenario in SCENARIOS]
    unknown = [name for name in only or () if name not in names]
    if unknown:
        typer.echo(f"demo: there is no row {unknown[0]!r}; the rows are {', '.join(names)}", err=True)
        raise typer.Exit(_EXIT_USAGE)
    chosen = [scenario for scenario in SCENARIOS if not only or scenario.name in only]
    chosen_seed = secrets.randbits(32) if seed is None else seed
    raise typer.Exit(run(chosen, callers=callers, seed=chosen_seed, reporter=reporter_for(chosen, as_json=as_json)))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(demo)
    app(prog_name="python -m examples.demo")
