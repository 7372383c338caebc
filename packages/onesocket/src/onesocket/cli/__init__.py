"""The command ``onesocket``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exits with 2 and one clear line when the extra `cli` isn't installed."""
    try:
        from ._app import app
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        print('onesocket: the command line needs typer: pip install "onesocket[cli]"', file=sys.stderr)  # noqa: T201 - without typer
        sys.exit(2)
    app(prog_name="onesocket")
