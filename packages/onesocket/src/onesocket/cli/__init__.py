"""The command line: ``onesocket demo``, ``onesocket connect URL``."""

from __future__ import annotations

import sys

_CLI_PACKAGES = frozenset({"typer", "rich"})


def main() -> None:
    """Run the command line; exits with 2 and one clear line when the extra `cli` isn't installed."""
    try:
        import rich as _rich  # noqa: F401 # pyright: ignore[reportUnusedImport] - typer does without, the demo doesn't

        from ._app import app
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _CLI_PACKAGES:
            raise
        print(  # noqa: T201 - there is nothing nicer to print with
            f'onesocket: the command line needs {error.name}: pip install "onesocket[cli]"', file=sys.stderr
        )
        sys.exit(2)
    app(prog_name="onesocket")
