"""``onesocket serve``: runs the chat server, and manages its accounts, backups and faults."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from onesocket.cli._stop_signal import StopSignal
from onesocket.cli._usage import EXIT_FAILED, EXIT_USAGE, fail

from ._server_place import ServerPlace

if TYPE_CHECKING:
    from ..server import ChatServer

serve_app = typer.Typer(
    help="A chat server that speaks Discord's gateway and HTTP API, version 10, for people and bots.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

_PORT = 8720
_TIMEOUT = 10.0
_MIN_OPEN_FILES = 65_536

DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="The SQLite file, or the directory for it. Default: chat.db in the user's data directory.",
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="ONESOCKET_DATABASE",
        help="postgresql+asyncpg://USER@HOST/DATABASE in place of a file. A password is seen by others in a command "
        "line: give it by PGPASSWORD, ~/.pgpass or this variable.",
    ),
]


@serve_app.callback()
def serve(
    context: typer.Context,
    *,
    data: DataOption = None,
    database: DatabaseOption = None,
    host: Annotated[str, typer.Option(help="Where to listen. There is no TLS: stay on loopback.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="For the page, HTTP and the gateway; 0: a free one.")
    ] = _PORT,
    gateway_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="A port of its own for the gateway; 0: a free one.")
    ] = None,
    heartbeat_interval: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="What HELLO asks clients for.")
    ] = 41.25,
    identify_interval: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Between two Identifies of one bot; 0: no limit.")
    ] = 5.0,
    login_days: Annotated[
        float, typer.Option(min=0.01, metavar="DAYS", help="Without use, until a person has to sign in again.")
    ] = 30.0,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="A reverse proxy whose X-Forwarded-For is believed; may be repeated."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="ONESOCKET_CHAT_CLUSTER",
            help="redis://HOST of Redis or Valkey: servers with the same --database are as one.",
        ),
    ] = None,
    gateway_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The gateway's address that clients are told, of a balancer in front."),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Where pages come from that may use the server, such as https://chat.example of a proxy in front; may "
            "be repeated. Pages of this machine and of the server's own address may.",
        ),
    ] = None,
) -> None:
    """Run a chat server that speaks Discord's gateway and HTTP API, version 10.

    Ctrl-C or SIGTERM asks all clients to reconnect, closes in order, and ends with status 0. Exit status otherwise:
    1 if it can't run (the port is taken, the file is in use), 2 if the command was misused.
    """
    if context.invoked_subcommand is not None:
        return
    with _ErrorReporting():
        from ..server import ChatServer, GatewayOptions

        options = GatewayOptions(heartbeat_interval=heartbeat_interval, identify_interval=identify_interval)
        place = ServerPlace.find(data, database)
        place.make_directory()
        _raise_file_limit()
        server = ChatServer(
            place.database,
            host=host,
            port=port,
            gateway_port=gateway_port,
            options=options,
            control_file=place.control_file,
            trusted_proxies=trusted_proxy or (),
            login_lifetime=login_days * 86_400,
            cluster=cluster,
            public_gateway_url=gateway_url,
            origins=origin or (),
        )
        asyncio.run(_run(server, place.options))


@serve_app.command()
def bot(
    name: Annotated[str, typer.Argument(help="2 to 32 characters; not taken yet.")],
    *,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Make a bot and print its token. It is shown this once.

    Works while the server runs, and while it doesn't.
    """
    with _ErrorReporting():
        place = ServerPlace.find(data, database)
        answer = _ask_server(place, "bots", {"name": name})
        if answer is None:
            place.make_directory()
            answer = asyncio.run(_manage_database(place, "bot", {"name": name}))
        typer.echo(answer["token"])


user_app = typer.Typer(help="People and bots: list them, change a password, remove one.", no_args_is_help=True)
serve_app.add_typer(user_app, name="user")


@user_app.command("list")
def list_users(*, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Print each account: its id, whether it is a bot, how many logins it has, and its name."""
    for one in _manage(data, database, "list", {})["users"]:
        kind = "bot" if one["bot"] else "person"
        typer.echo(f"{one['id']}  {kind:6}  {one['logins']:3}  {one['username']}")


@user_app.command()
def passwd(
    name: Annotated[str, typer.Argument(help="The person.")],
    *,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Give a person another password. They are signed out everywhere.

    It is asked for, or read from standard input if that is no terminal.
    """
    if sys.stdin.isatty():
        password = typer.prompt(f"New password for {name}", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    _manage(data, database, "passwd", {"name": name, "password": password})


@user_app.command()
def remove(
    name: Annotated[str, typer.Argument(help="A person or a bot.")],
    *,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Remove an account: signed out everywhere, out of every guild, its name free again. Its messages stay."""
    _manage(data, database, "remove", {"name": name})


@serve_app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")],
    *,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Copy the database to a file, as it is at one moment. Works while the server runs, and while it doesn't.

    (A copy of the database's file alone misses the newest messages while the server runs.)
    """
    with _ErrorReporting():
        from onesocket.errors import InvalidOption

        from ..server.store._sqlite import backup as copy

        place = ServerPlace.find(data, database)
        if place.file is None:
            raise InvalidOption("backup copies an SQLite file; a database on PostgreSQL is copied by pg_dump")
        copy(place.file, file)
        typer.echo(f"{file}  {file.stat().st_size} bytes")


@serve_app.command()
def fault(
    name: Annotated[
        str, typer.Argument(metavar="FAULT", help="reconnect, close, drop-connection, …; a wrong name lists all.")
    ],
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
    route: Annotated[
        str | None, typer.Option(help="For rate-limit and lose-answers: 'POST /channels/*/messages'.")
    ] = None,
    everywhere: Annotated[bool | None, typer.Option("--everywhere", help="For rate-limit: the global one.")] = None,
    window: Annotated[int | None, typer.Option(help="For reorder-dispatches: how many are reversed.")] = None,
    compression: Annotated[
        str | None, typer.Option(help="For force-compression: zlib-stream, zstd-stream or none.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="For lift: only faults of this kind.")] = None,
    data: DataOption = None,
    database: DatabaseOption = None,
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
    with _ErrorReporting():
        place = ServerPlace.find(data, database)
        answer = _ask_server(place, f"faults/{name.replace('-', '_')}", arguments)
        if answer is None:
            text = f"no server is running on {place.name} here; start one with `onesocket serve{place.options}`"
            fail(text, EXIT_FAILED)
        typer.echo(json.dumps(answer))


async def _run(server: ChatServer, option: str) -> None:
    stop = StopSignal()
    async with server:
        if server.page_url:
            typer.echo(f"chat      {server.page_url}")
        typer.echo(f"HTTP API  {server.api_url}")
        typer.echo(f"gateway   {server.gateway_url}")
        typer.echo("")
        typer.echo(f"make a bot:       onesocket serve bot NAME{option}")
        typer.echo(f"in a terminal:    onesocket chat --server {server.api_url.removesuffix('/api/v10')}")
        typer.echo("stop:             Ctrl-C")
        sys.stdout.flush()
        await stop.wait()
        typer.echo("stopping: clients are asked to reconnect", err=True)


def _manage(data: Path | None, database: str | None, what: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a control request to the running server, or without one open its database."""
    with _ErrorReporting():
        place = ServerPlace.find(data, database)
        answer = _ask_server(place, f"users/{what}", body)
        if answer is not None:
            return answer
        if place.file is not None and not place.file.is_file():
            fail(f"there is no database at {place.file}; name it with --data", EXIT_FAILED)
        return asyncio.run(_manage_database(place, what, body))


async def _manage_database(place: ServerPlace, what: str, body: dict[str, Any]) -> dict[str, Any]:
    from ..server._control_endpoint import manage_accounts
    from ..server.gateway import GatewayServer
    from ..server.service import ChatService

    # Beside the servers of a cluster, which publish what this changes.
    async with ChatService.open(place.database, GatewayServer(), shared=place.file is None) as service:
        return await manage_accounts(service.accounts, what, body)


def _ask_server(place: ServerPlace, what: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """Send a control request to the server of this file; returns None without one."""
    try:
        control = json.loads(place.control_file.read_text(encoding="utf-8"))
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
        fail(f"the server at {url.netloc} doesn't answer: {error}", EXIT_FAILED)
    finally:
        connection.close()
    if status == 401:
        return None  # another server has the port now
    if status != 200:
        fail(str(answer.get("message", answer)), EXIT_FAILED)
    found: dict[str, Any] = answer
    return found


class _ErrorReporting:
    """Prints typed errors in one line; errors of usage exit with 2, others with 1."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        from onesocket.errors import InvalidOption, MissingExtra, OnesocketError

        if isinstance(error, OnesocketError):
            fail(_error_text(error), EXIT_USAGE if isinstance(error, InvalidOption | MissingExtra) else EXIT_FAILED)


def _error_text(error: Exception) -> str:
    """The error's text, with the invalid fields."""
    fields = getattr(error, "errors", None)
    return f"{error}: {json.dumps(fields)}" if fields else str(error)


def _raise_file_limit() -> None:
    """Raise the limit of open files, one per connection, from the default of many systems (1024)."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MIN_OPEN_FILES if hard == resource.RLIM_INFINITY else min(_MIN_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
