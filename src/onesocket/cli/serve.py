"""``onesocket serve``: the chat server, new bots for it, and faults on request."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer

from .stopping import stop_signal

if TYPE_CHECKING:
    from ..chat import ChatServer

serve_app = typer.Typer(
    help="A chat server that speaks Discord's gateway and HTTP API, version 10, for people and bots.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

_USAGE = 2
_PORT = 8720
_GATEWAY_PORT = 8721
_TIMEOUT = 10.0
_WANTED_FILES = 65_536

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="The SQLite file, or the directory for it. Default: chat.db in the user's data directory.",
    ),
]


@serve_app.callback()
def serve(
    context: typer.Context,
    *,
    data: Data = None,
    host: Annotated[str, typer.Option(help="Where to listen. There is no TLS: stay on loopback.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="For HTTP; 0: a free one.")] = _PORT,
    gateway_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="For the gateway; 0: a free one.")
    ] = _GATEWAY_PORT,
    heartbeat_interval: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="What HELLO asks clients for.")
    ] = 41.25,
    identify_interval: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Between two Identifies of one bot; 0: no limit.")
    ] = 5.0,
) -> None:
    """Run a chat server that speaks Discord's gateway and HTTP API, version 10.

    Ctrl-C or SIGTERM asks all clients to reconnect, closes in order, and ends with status 0. Exit status otherwise:
    1 if it can't run (the port is taken, the file is in use), 2 if the command was misused.
    """
    if context.invoked_subcommand is not None:
        return
    with _Problems():
        from ..chat import ChatServer, GatewayOptions

        options = GatewayOptions(heartbeat_interval=heartbeat_interval, identify_interval=identify_interval)
        place = _database(data)
        _make_private(place.parent)
        _allow_many_files()
        server = ChatServer(
            place,
            host=host,
            port=port,
            gateway_port=gateway_port,
            options=options,
            control_file=_control_file(place),
        )
        asyncio.run(_run(server, _option(data)))


@serve_app.command()
def bot(name: Annotated[str, typer.Argument(help="2 to 32 characters; not taken yet.")], *, data: Data = None) -> None:
    """Make a bot and print its token. It is shown this once.

    Works while the server runs, and while it doesn't.
    """
    with _Problems():
        place = _database(data)
        answer = _ask_server(place, "bots", {"name": name})
        if answer is None:
            _make_private(place.parent)
            token = asyncio.run(_create_bot(place, name))
        else:
            token = str(answer["token"])
        typer.echo(token)


@serve_app.command()
def fault(
    name: Annotated[str, typer.Argument(metavar="FAULT", help="reconnect, close, drop-line, … (docs/faults.md)")],
    *,
    user: Annotated[str | None, typer.Option(help="Only this user: a name or an id.")] = None,
    session: Annotated[str | None, typer.Option(help="Only the session with this id.")] = None,
    times: Annotated[int | None, typer.Option(min=1, help="How often it happens.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long, for what delays.")] = None,
    code: Annotated[int | None, typer.Option(help="The close code.")] = None,
    reason: Annotated[str | None, typer.Option(help="The close reason.")] = None,
    resumable: Annotated[bool | None, typer.Option("--resumable/--final", help="For invalid-session.")] = None,
    status: Annotated[int | None, typer.Option(help="The HTTP status.")] = None,
    retry_after: Annotated[float | None, typer.Option(metavar="SECONDS", help="For 429 and refusals.")] = None,
    route: Annotated[str | None, typer.Option(help="For rate-limit: 'POST /channels/*/messages'.")] = None,
    everywhere: Annotated[bool | None, typer.Option("--everywhere", help="For rate-limit: the global one.")] = None,
    window: Annotated[int | None, typer.Option(help="For reorder-dispatches: how many are reversed.")] = None,
    compression: Annotated[
        str | None, typer.Option(help="For force-compression: zlib-stream, zstd-stream or none.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="For lift: only faults of this kind.")] = None,
    data: Data = None,
) -> None:
    """Let something go wrong in the server that runs."""
    given = {
        "user": user,
        "session": session,
        "times": times,
        "seconds": seconds,
        "code": code,
        "reason": reason,
        "resumable": resumable,
        "status": status,
        "retry_after": retry_after,
        "route": route,
        "everywhere": everywhere,
        "window": window,
        "kind": kind.replace("-", "_") if kind is not None else None,
    }
    arguments: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if compression is not None:
        arguments["name"] = None if compression == "none" else compression
    with _Problems():
        place = _database(data)
        answer = _ask_server(place, f"faults/{name.replace('-', '_')}", arguments)
        if answer is None:
            _fail(f"no server is running on {place}; start one with `onesocket serve{_option(data)}`")
        typer.echo(json.dumps(answer))


async def _run(server: ChatServer, option: str) -> None:
    stop = stop_signal()
    async with server:
        typer.echo(f"HTTP API  {server.api_url}")
        typer.echo(f"gateway   {server.gateway_url}")
        typer.echo("")
        typer.echo(f"make a bot:       onesocket serve bot NAME{option}")
        typer.echo(f"sign in and chat: onesocket chat --server {server.api_url.removesuffix('/api/v10')}")
        typer.echo("stop:             Ctrl-C")
        sys.stdout.flush()
        await stop.wait()
        typer.echo("stopping: clients are asked to reconnect", err=True)


async def _create_bot(place: Path, name: str) -> str:
    from ..chat import ChatServer

    async with ChatServer(place) as server:
        return await server.create_bot(name)


def _ask_server(place: Path, what: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """Ask the server that runs on this file; None: there is none."""
    try:
        control = json.loads(_control_file(place).read_text(encoding="utf-8"))
        url, headers = urlsplit(str(control["url"])), {"Authorization": f"Control {control['token']}"}
    except (OSError, ValueError, KeyError):
        return None
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_TIMEOUT)
    try:
        connection.request("POST", f"{url.path}{what}", json.dumps(body), headers)
        response = connection.getresponse()
        status, answer = response.status, json.loads(response.read())
    except ConnectionRefusedError:
        return None  # it was killed, and its file is still there
    except (OSError, ValueError, http.client.HTTPException) as error:
        _fail(f"the server at {url.netloc} doesn't answer: {error}")
    finally:
        connection.close()
    if status == 401:
        return None  # another server has the port now
    if status != 200:
        _fail(str(answer.get("message", answer)))
    found: dict[str, Any] = answer
    return found


class _Problems:
    """Typed errors become one line; those of usage end with 2, the others with 1."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        from ..errors import InvalidOption, MissingExtra, OnesocketError

        if isinstance(error, OnesocketError):
            _fail(_words(error), _USAGE if isinstance(error, InvalidOption | MissingExtra) else 1)


def _words(error: Exception) -> str:
    """The text, with the fields at fault where a form was refused."""
    fields = getattr(error, "errors", None)
    return f"{error}: {json.dumps(fields)}" if fields else str(error)


def _database(data: Path | None) -> Path:
    if data is None:
        data = _data_directory()
    return data / "chat.db" if data.is_dir() or not data.suffix else data


def _data_directory() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "onesocket"
    chosen = os.environ.get("XDG_DATA_HOME", "")
    return (Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".local" / "share") / "onesocket"


def _control_file(place: Path) -> Path:
    return place.with_name(f"{place.name}.control.json")


def _option(data: Path | None) -> str:
    return "" if data is None else f" --data {data}"


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _fail(f"can't make the directory {directory}: {error.strerror}; choose another place with --data")


def _allow_many_files() -> None:
    """Each connection is a file; many systems allow 1024 by default, and more to whoever asks."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(_WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _fail(text: str, status: int = 1) -> NoReturn:
    typer.echo(f"onesocket: {text}", err=True)
    raise typer.Exit(status)
