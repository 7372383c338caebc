"""Exit statuses of the commands, and what ends a command that was misused."""

from __future__ import annotations

from typing import Final, NoReturn

import typer

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


def fail(text: str) -> NoReturn:
    """Print `text` to stderr, and end the command with the status for misuse."""
    typer.echo(f"onesocket: {text}", err=True)
    raise typer.Exit(EXIT_USAGE)


def parse_header(text: str) -> tuple[str, str]:
    """Return name and value of an option ``--header 'Name: value'``."""
    name, colon, value = text.partition(":")
    if not colon:
        # The text is not repeated: it may be a secret.
        fail("--header wants 'Name: value', with a colon")
    return name.strip(), value.strip()
