"""``onesocket feed SERVICE KEYS…``: the options of the command; the session itself is in `_feed`."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Callable, Hashable
from typing import Annotated, Any

import typer

from ..client import Client, ReconnectPolicy
from ..client._client_options import ConnectionOptions
from ..services._registry import SERVICES, find_service
from ..sharing import SharedClient, join
from ._end_rule import CountArgument
from ._flow_arguments import SilenceTimeoutArgument
from ._network_arguments import (
    DEFAULT_MAX_SIZE,
    CacertArgument,
    ClientCertArgument,
    LocalAddressArgument,
    MaxSizeArgument,
    NoProxyArgument,
    ProxyArgument,
    ServerHostnameArgument,
    proxy_option,
    tls_option,
)
from ._service_arguments import TOKEN_VARIABLE, TokenFileArgument, read_token, service_token
from ._usage import EXIT_USAGE, fail, one_of

_NAMES = ", ".join(sorted(SERVICES))


def feed(
    name: Annotated[str, typer.Argument(metavar="SERVICE", help=f"One of: {_NAMES}.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEYS]...", help="What to subscribe to, such as AAPL or bars.MSFT of alpaca."),
    ] = None,
    *,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Another endpoint of the service, or a fake one, instead of its usual one."),
    ] = None,
    token_file: TokenFileArgument = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object in each line, and no table; so it is if stdout is no terminal."),
    ] = False,
    count: CountArgument = None,
    wait: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SECONDS", help="End so long after the connection is up. Default: at --count, or at Ctrl-C."
        ),
    ] = None,
    proxy: ProxyArgument = None,
    no_proxy: NoProxyArgument = False,
    cacert: CacertArgument = None,
    client_cert: ClientCertArgument = None,
    server_hostname: ServerHostnameArgument = None,
    local_address: LocalAddressArgument = None,
    max_size: MaxSizeArgument = DEFAULT_MAX_SIZE,
    open_timeout: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="How long one attempt may take, with its login.")
    ] = 10.0,
    silence_timeout: SilenceTimeoutArgument = None,
    scope: Annotated[
        str,
        typer.Option(
            metavar="process|host",
            help="host: one connection together with your programs that join with scope='host', and with hubs.",
        ),
    ] = "process",
    retry: Annotated[
        bool,
        typer.Option("--retry", help="Go on until the first connection is up: the service may start later."),
    ] = False,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Show states, frames and what follows from errors on stderr, without secrets."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Don't show the state of the connection.")] = False,
) -> None:
    """Show the feed of a service: a live table on a terminal, lines of JSON in a pipe.

    The login, the subscriptions and what comes back are the service's; keys that it refuses are named, and so is each
    place where messages may be missing. A connection that is lost is opened again, and subscribed anew.

    A line of JSON is {"key": ..., "message": {...}}, {"gap": REASON, "missed": N, "error": TEXT} or {"refused":
    [KEYS], "reason": TEXT}. Remarks go to stderr. Ctrl-C closes the connection (close code 1000); a second one ends at
    once.

    Exit status: 0 after --count messages, or at the end of --wait; 1 if the connection failed, all keys were refused,
    or fewer than --count messages came; 2 if the command was misused; 130 after Ctrl-C and 143 after SIGTERM (128 +
    signal).
    """
    from ..errors import UsageError
    from ._feed import FeedSession, FeedView
    from ._feed_lines import FeedLines
    from ._output import Output, silence_log
    from ._trace import trace_recorder

    if wait is not None and not math.isfinite(wait):
        fail(f"--wait wants a number of seconds, not {wait}; without it the command runs until Ctrl-C")
    try:
        on_host = one_of("--scope", scope, "process", "host") == "host"
        if on_host and trace:
            fail("--trace can't be combined with --scope host: another process may have the connection")
        service = find_service(name)
        keys = list(dict.fromkeys(map(service.key, words or ())))
        if service.keys and not keys:
            fail(f"{name} sends only what is subscribed to: name it, as in: onesocket feed {name} {service.keys}")
        given = os.environ.get(TOKEN_VARIABLE) if token_file is None else read_token(token_file)
        token = service_token(name, service, given, "--token-file")
        through, tls = proxy_option(proxy, no_proxy=no_proxy), tls_option(cacert, client_cert)
        silence_log()
        output = Output(secrets=[token or "", *(token or "").split(":")], quiet=quiet)

        async def session() -> int:
            protocol = service.protocol()
            address = service.url() if url is None else url
            options: ConnectionOptions = {
                "proxy": through,
                "ssl": tls,
                "server_hostname": server_hostname,
                "local_address": local_address,
                "max_size": max_size or None,
                "open_timeout": open_timeout,
                "silence_timeout": silence_timeout,
                "reconnect": ReconnectPolicy(first=retry),
                "rotation": service.rotation(),
                "recorder": trace_recorder(output) if trace else None,
            }
            client: Client[Any] | SharedClient[Any]
            if on_host:
                client = join(str(address), token=token, protocol=protocol, scope="host", **options).client()
            else:
                client = Client(address, token=token, protocol=protocol, **options)
            key_of = _key_function(protocol)
            view: FeedView
            if as_json or not _can_draw():
                view = FeedLines(output, key_of)
            else:
                from ._feed_table import FeedTable

                view = FeedTable(name, keys, output, key_of, client.status.url)
            return await FeedSession(client, keys, view, output, count=count, wait=wait, retry=retry).run()

        status = asyncio.run(session())
    except UsageError as error:
        fail(str(error), EXIT_USAGE)
    raise typer.Exit(status)


def _can_draw() -> bool:
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}


def _key_function(protocol: Any) -> Callable[[Any], Hashable]:
    """The function that finds the key of a message, or else its event name."""
    from ..protocols._subscriptions import subscriptions_of

    declared = subscriptions_of(protocol)
    return protocol.event_of if declared is None or declared.key is None else declared.key
