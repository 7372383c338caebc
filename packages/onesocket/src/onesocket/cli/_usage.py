"""Exit statuses of the commands, error messages on stderr, and options that several commands have."""

from __future__ import annotations

from typing import Final, NoReturn

import typer

from .._printable import printable

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


def show_error(text: str) -> None:
    """Print `text` to stderr, after the name of the command; a peer may have written a part of it."""
    typer.echo(f"onesocket: {printable(text)}", err=True)


def fail(text: str, status: int = EXIT_USAGE) -> NoReturn:
    """Print `text` to stderr, and end the command, by default with the status for misuse."""
    show_error(text)
    raise typer.Exit(status)


def parse_header(text: str) -> tuple[str, str]:
    """Return name and value of an option ``--header 'Name: value'``."""
    name, colon, value = text.partition(":")
    if not colon:
        # The text is not repeated: it may be a secret.
        fail("--header wants 'Name: value', with a colon")
    return name.strip(), value.strip()


def one_of(option: str, value: str, *allowed: str) -> str:
    """Return the value of an option, or end the command for one that is not allowed."""
    if value not in allowed:
        fail(f"{option} is {' or '.join(allowed)}, not {value!r}")
    return value


def check_engine_url(url: str | None) -> None:
    """End the command for another option in the place of the value of ``--cluster``."""
    if url is not None and url.startswith("-"):
        fail(f"--cluster needs the URL of an engine, not {url}: --scope cluster takes that of ONESOCKET_CLUSTER")
