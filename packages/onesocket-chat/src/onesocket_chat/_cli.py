"""``onesocket chat``: the chat in this terminal."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from onesocket.cli._usage import fail
from onesocket.errors import UsageError

_DEFAULT_SERVER = "http://127.0.0.1:8720"


def chat(
    *,
    server: Annotated[
        str | None,
        typer.Option(
            envvar="ONESOCKET_CHAT_SERVER",
            metavar="URL",
            help=f"The chat server: host:port, or a URL. Default: that of the kept token, else {_DEFAULT_SERVER}.",
        ),
    ] = None,
    user: Annotated[str, typer.Option(metavar="NAME", help="Your name there; the password is asked for.")] = "",
    remember: Annotated[
        bool,
        typer.Option("--remember", help="Stay signed in: keep the token in a file that you alone can read."),
    ] = False,
) -> None:
    """Chat, on one connection for everything that is open.

    The server is `onesocket serve`, or another one of its kind. Ctrl-Q, SIGINT, SIGTERM and SIGHUP close the
    connection in order. In a browser the chat is at the address that `onesocket serve` prints.

    Exit status: 0, or 2 if the command was misused.
    """
    try:
        _run(server, user, remember=remember)
    except UsageError as error:
        fail(str(error))


def _run(server: str | None, user: str, *, remember: bool) -> None:
    from onesocket.cli._output import silence_log

    from . import ChatApp
    from ._chat_config import default_config_path, load_config
    from ._credentials import default_path

    _require_terminal(server or _DEFAULT_SERVER)
    silence_log()
    place = default_path() if remember else None
    config = load_config(default_config_path())
    app = ChatApp(server, user, remember=place, config=config, handle_signals=True)
    app.run()
    raise typer.Exit(app.return_code or 0)


def _require_terminal(server: str) -> None:
    """Raise `UsageError` where nothing can be drawn, or no key be read."""
    # Textual reads the keys from the one and draws on the other.
    for stream, name in ((sys.__stdin__, "input"), (sys.__stderr__, "error output")):
        if stream is None or not stream.isatty():
            raise UsageError(f"onesocket chat needs a terminal, and its standard {name} is none")
    if os.environ.get("TERM") == "dumb":
        raise UsageError(f"a terminal with TERM=dumb can't show the chat; in a browser it is at {server}")
