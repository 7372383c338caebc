"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
from importlib import metadata
from typing import Annotated, NoReturn

import typer

from ..client.client import Client
from ..lifecycle.retry import ReconnectPolicy
from ..protocols.base import Protocol
from ..protocols.json import Json
from ..protocols.raw import Raw
from ..protocols.token import TokenQuery
from .chat import chat
from .serve import serve_app
from .share import share
from .status import status

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
app.add_typer(serve_app, name="serve")
app.command()(chat)
app.command()(share)
app.command()(status)

_USAGE = 2


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"onesocket {metadata.version('onesocket')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """One WebSocket, however many ask for it."""
    del version


@app.command()
def demo(
    callers: Annotated[int, typer.Option(min=1, max=100_000, help="How many components race in each row.")] = 1000,
    only: Annotated[list[str] | None, typer.Option(metavar="ROW", help="Play only this row (may be repeated).")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Repeat a crowd: who is cancelled, who comes when. Default: a new one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Let a thousand components race for one connection, while the server counts.

    A server on loopback counts handshakes, open WebSockets and premature closes. In each row the components race in
    another state, or while something breaks; next to it stands the same for the check-then-connect client, which is
    what many applications do.

    Exit status: 0 if every promise held, 1 if one was broken, 2 if the command was misused.
    """
    if importlib.util.find_spec("websockets") is None:
        _fail('the demo brings its own server, which needs websockets: pip install "onesocket[cli,testing]"')
    from .demo.run import run
    from .demo.scenarios import SCENARIOS
    from .demo.screen import screen_for
    from .output import tell_nothing_twice

    tell_nothing_twice()
    names = [scenario.name for scenario in SCENARIOS]
    unknown = [name for name in only or () if name not in names]
    if unknown:
        _fail(f"there is no row {unknown[0]!r}; the rows are {', '.join(names)}")
    chosen = [scenario for scenario in SCENARIOS if not only or scenario.name in only]
    crowd = secrets.randbits(32) if seed is None else seed
    raise typer.Exit(run(chosen, callers=callers, seed=crowd, screen=screen_for(chosen, as_json=as_json)))


@app.command()
def connect(
    url: Annotated[str, typer.Argument(metavar="URL", help="ws://... or wss://...")],
    *,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ONESOCKET_TOKEN",
            help="Sent as 'Authorization: Bearer ...'. Better given in the environment: other users of this machine "
            "can see the arguments of a command.",
        ),
    ] = None,
    token_query: Annotated[
        str | None, typer.Option(metavar="NAME", help="Send the token as this query parameter instead.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME: VALUE'", help="A header field for the upgrade request (may be repeated)."),
    ] = None,
    subprotocol: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A sub-protocol to offer, most wanted first (may be repeated)."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Messages are JSON: shown indented; typed lines are checked before sending.")
    ] = False,
    open_timeout: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="How long one attempt may take.")
    ] = 10.0,
    ping_interval: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Between two PINGs; 0: send none.")
    ] = 20.0,
    reconnect: Annotated[
        bool, typer.Option("--reconnect/--no-reconnect", help="Whether a line that was lost is opened again.")
    ] = True,
    stay: Annotated[
        bool,
        typer.Option("--stay", help="Stay connected when stdin ends. (A pipe or file: otherwise that is the end.)"),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Don't tell how the connection stands.")] = False,
) -> None:
    """Keep one line to a WebSocket server: what you type is sent, what comes is shown.

    Each line of stdin is one text message. Messages go to stdout, one per line, with control characters written out;
    remarks, and a mark wherever messages may be missing, go to stderr. The first attempt is not repeated; a line that
    is lost later is opened again.

    The end of stdin or Ctrl-C closes the line in order (close code 1000); a second Ctrl-C ends at once.

    Exit status: 0 after the end of stdin, or when the server ended the line with 1000 or 1001 (and --no-reconnect was
    given); 1 if the connection failed or a
    line could not be sent; 2 if the command was misused; 130 after Ctrl-C and 143 after SIGTERM (128 + signal).
    """
    from ..errors import UsageError
    from .connect import run_session
    from .output import Output, tell_nothing_twice

    headers = [_header(text) for text in header or ()]
    if token_query is not None and token is None:
        _fail("--token-query needs a token: --token, or ONESOCKET_TOKEN in the environment")
    tell_nothing_twice()
    output = Output(secrets=[token or "", *(value for _, value in headers)], quiet=quiet)

    async def session() -> int:
        client = Client(
            url,
            token=token,
            protocol=_protocol(as_json, token_query),
            headers=headers,
            subprotocols=subprotocol or (),
            open_timeout=open_timeout,
            ping_interval=ping_interval or None,
            reconnect=ReconnectPolicy() if reconnect else None,
        )
        return await run_session(client, output, as_json=as_json, stay=stay)

    try:
        status = asyncio.run(session())
    except UsageError as error:
        output.fail(str(error))
        status = _USAGE
    raise typer.Exit(status)


def _protocol(as_json: bool, token_query: str | None) -> Protocol:
    kind = Json if as_json else Raw
    return kind() if token_query is None else kind(token_place=TokenQuery(token_query))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        # Not repeated: what was meant as a value may be a secret.
        _fail("--header wants 'Name: value', with a colon")
    return name.strip(), value.strip()


def _fail(text: str) -> NoReturn:
    typer.echo(f"onesocket: {text}", err=True)
    raise typer.Exit(_USAGE)
