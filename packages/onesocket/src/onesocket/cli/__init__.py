"""The command ``onesocket``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; without the extra `cli`, all but ``--version`` exits with 2 and one clear line."""
    try:
        from ._app import app
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        if sys.argv[1:] == ["--version"]:
            from ._version_line import VERSION_LINE

            print(VERSION_LINE)  # noqa: T201 - without typer
            return
        print('onesocket: the command line needs typer: pip install "onesocket[cli]"', file=sys.stderr)  # noqa: T201 - without typer
        sys.exit(2)
    app(prog_name="onesocket")
