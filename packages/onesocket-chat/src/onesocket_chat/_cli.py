"""``onesocket chat``: the chat in this terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from onesocket.cli._usage import fail
from onesocket.errors import UsageError

_DEFAULT_SERVER = "http://127.0.0.1:8720"


def chat(
    *,
    server: Annotated[
        str, typer.Option(envvar="ONESOCKET_CHAT_SERVER", metavar="URL", help="The chat server: host:port, or a URL.")
    ] = _DEFAULT_SERVER,
    user: Annotated[str, typer.Option(metavar="NAME", help="Your name there; the password is asked for.")] = "",
    remember: Annotated[
        bool,
        typer.Option("--remember", help="Stay signed in: keep the token in a file that you alone can read."),
    ] = False,
) -> None:
    """Chat, on one connection for everything that is open.

    The server is `onesocket serve`, or another one of its kind. Ctrl-Q, SIGINT and SIGTERM close the connection in
    order. In a browser the chat is at the address that `onesocket serve` prints.

    Exit status: 0, or 2 if the command was misused.
    """
    try:
        _run(server, user, remember=remember)
    except UsageError as error:
        fail(str(error))


def _run(server: str, user: str, *, remember: bool) -> None:
    from onesocket.cli._output import silence_log

    from . import ChatApp
    from ._chat_config import default_config_path, load_config
    from ._credentials import default_path

    silence_log()
    place = default_path() if remember else None
    config = load_config(default_config_path())
    app = ChatApp(server, user, remember=place, config=config, handle_signals=True)
    app.run()
    raise typer.Exit(app.return_code or 0)
