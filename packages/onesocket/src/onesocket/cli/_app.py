"""The command `onesocket`: its subcommands come from the installed distributions, by entry point."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated, Any

import typer

from ._usage import fail
from ._version_line import VERSION_LINE

_GROUP = "onesocket.commands"
# Subcommands of other distributions, so that a missing distribution is named.
_ELSEWHERE = {"chat": "onesocket-chat", "serve": "onesocket-discord[server]"}

app = typer.Typer(
    name="onesocket",
    help="One WebSocket, however many ask for it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: it wraps well, and stays readable in a pipe
    # A traceback with its local variables could show a token.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(VERSION_LINE)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """One WebSocket, however many ask for it."""
    del version


def _add(name: str, command: Any) -> None:
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


def _missing(name: str, requirement: str) -> None:
    @app.command(name, hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def missing(context: typer.Context) -> None:
        del context
        fail(f'the command {name} is in another distribution: pip install "{requirement}"')


def add_commands() -> None:
    """Add the subcommands of all installed distributions, and for those that are not installed a hint."""
    found = {entry.name: entry for entry in metadata.entry_points(group=_GROUP)}
    for name, entry in sorted(found.items()):
        try:
            _add(name, entry.load())
        except ModuleNotFoundError as error:
            requirement = _ELSEWHERE.get(name)
            if requirement is None or (error.name or "").startswith("onesocket"):
                raise
            _missing(name, requirement)
    for name, requirement in _ELSEWHERE.items():
        if name not in found:
            _missing(name, requirement)


add_commands()
