"""``onesocket chat``: the chat in this terminal, or in a browser."""

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
    web: Annotated[bool, typer.Option("--web", help="Serve the chat to a browser instead.")] = False,
    host: Annotated[str, typer.Option(help="With --web: where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="With --web: the port.")] = 8722,
    fixed: Annotated[bool, typer.Option("--fixed", hidden=True, help="There is no other server.")] = False,
) -> None:
    """Chat, on one connection for everything that is open.

    The server is `onesocket serve`, or another one of its kind. Ctrl-Q, SIGINT and SIGTERM close the connection in
    order. With --web every browser that reaches the port gets a form to sign in with, at this server only. There is
    no TLS: stay on loopback.

    Exit status: 0, or 2 if the command was misused.
    """
    try:
        if web:
            _serve(server, user, host=host, port=port, remember=remember)
        else:
            _run(server, user, fixed=fixed, remember=remember)
    except UsageError as error:
        fail(str(error))


def _run(server: str, user: str, *, fixed: bool, remember: bool) -> None:
    from onesocket.cli._output import silence_log

    from . import ChatApp
    from ._credentials import default_path

    silence_log()
    place = default_path() if remember else None
    app = ChatApp(server, user, fixed=fixed, remember=place, handle_signals=True)
    app.run()
    raise typer.Exit(app.return_code or 0)


def _serve(server: str, user: str, *, host: str, port: int, remember: bool) -> None:
    from ._web_server import serve
    from .session import ServerAddress

    if remember:
        fail("--remember and --web don't go together: every visitor of the page would be signed in as you")
    ServerAddress.parse(server)  # an error now, instead of on the page
    serve(["--fixed", "--server", server, "--user", user], host=host, port=port)
