"""``onesocket serve``: runs the chat server, copies its database, and lets something go wrong in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from onesocket.cli._stop_signal import StopSignal
from onesocket.cli._usage import EXIT_FAILED, fail

from ._account_commands import bot_app, invite, report_app, user_app
from ._control_client import DatabaseOption, DataOption, ErrorReporting, ask_server
from ._serve_options import (
    ClusterOption,
    GatewayUrlOption,
    LogRequestsOption,
    MetricsOption,
    OriginOption,
    PublicUrlOption,
    TrustedProxyOption,
)
from ._server_place import ServerPlace

if TYPE_CHECKING:
    from ..server import ChatServer

serve_app = typer.Typer(
    help="A chat server that speaks Discord's gateway and HTTP API, version 10, for people and bots.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

_PORT = 8720
_MIN_OPEN_FILES = 65_536

serve_app.add_typer(bot_app, name="bot")
serve_app.add_typer(user_app, name="user")
serve_app.add_typer(report_app, name="report")
serve_app.command()(invite)


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
    registration: Annotated[
        Literal["open", "invite", "closed"],
        typer.Option(
            metavar="WHO",
            help="Who may make an account: everybody (open), whoever has an invite (invite; `onesocket serve invite` "
            "makes one), or nobody but `onesocket serve user add` (closed).",
        ),
    ] = "open",
    trusted_proxy: TrustedProxyOption = None,
    cluster: ClusterOption = None,
    public_url: PublicUrlOption = None,
    gateway_url: GatewayUrlOption = None,
    origin: OriginOption = None,
    log_requests: LogRequestsOption = None,
    metrics: MetricsOption = None,
) -> None:
    """Run a chat server that speaks Discord's gateway and HTTP API, version 10.

    Ctrl-C or SIGTERM asks all clients to reconnect, closes in order, and ends with status 0. Exit status otherwise:
    1 if it can't run (the port is taken, the file is in use), 2 if the command was misused.
    """
    if context.invoked_subcommand is not None:
        return
    with ErrorReporting():
        from ..server import ChatServer, GatewayOptions
        from ..server._request_log import LogFormat, RequestLog

        options = GatewayOptions(heartbeat_interval=heartbeat_interval, identify_interval=identify_interval)
        place = ServerPlace.find(data, database)
        place.make_directory()
        _raise_file_limit()
        log = None if log_requests is None else RequestLog(sys.stderr, LogFormat(log_requests.value))
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
            public_url=public_url,
            public_gateway_url=gateway_url,
            origins=origin or (),
            registration=registration,
            metrics=metrics,
            on_request=log,
        )
        with contextlib.nullcontext() if log is None else log:
            asyncio.run(_run(server, place.options))


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
    with ErrorReporting():
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
    with ErrorReporting():
        place = ServerPlace.find(data, database)
        answer = ask_server(place, f"faults/{name.replace('-', '_')}", arguments)
        if answer is None:
            text = f"no server is running on {place.name} here; start one with `onesocket serve{place.options}`"
            fail(text, EXIT_FAILED)
        typer.echo(json.dumps(answer))


async def _run(server: ChatServer, option: str) -> None:
    stop = StopSignal()
    async with server:
        if server.page_url:
            typer.echo(f"chat      {server.page_url}")
        typer.echo(f"HTTP API  {server.public.api_url}")
        typer.echo(f"gateway   {server.public_gateway_url}")
        own = server.api_url.removesuffix("/api/v10")
        if server.public.origin != own:
            typer.echo(f"listens   {own}")
        if server.metrics_url:
            typer.echo(f"metrics   {server.metrics_url}")
        typer.echo("")
        typer.echo(f"make a bot:       onesocket serve bot NAME{option}")
        typer.echo(f"in a terminal:    onesocket chat --server {server.public.origin}")
        typer.echo("stop:             Ctrl-C")
        sys.stdout.flush()
        await stop.wait()
        typer.echo("stopping: clients are asked to reconnect", err=True)


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
