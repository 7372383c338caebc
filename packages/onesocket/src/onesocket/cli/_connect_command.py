"""``onesocket connect URL``: the options of the command; the session itself is in `_connect`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ..client import Client, ReconnectPolicy
from ..protocols import Json, Protocol, Raw, TokenQuery
from ..wire._secrets import header_secrets
from ._end_rule import CountArgument, EndRule, StayArgument, WaitArgument
from ._flow_arguments import PaceArgument, SilenceTimeoutArgument, parse_pace
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
from ._usage import EXIT_USAGE, fail, parse_header


def connect(
    url: Annotated[str, typer.Argument(metavar="URL", help="ws://..., wss://... or ws+unix:///path/of/socket")],
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
    proxy: ProxyArgument = None,
    no_proxy: NoProxyArgument = False,
    cacert: CacertArgument = None,
    client_cert: ClientCertArgument = None,
    server_hostname: ServerHostnameArgument = None,
    local_address: LocalAddressArgument = None,
    max_size: MaxSizeArgument = DEFAULT_MAX_SIZE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Messages are JSON: shown indented; typed lines are checked before sending.")
    ] = False,
    open_timeout: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="How long one attempt may take.")
    ] = 10.0,
    ping_interval: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Between two PINGs; 0: send none.")
    ] = 20.0,
    silence_timeout: SilenceTimeoutArgument = None,
    pace: PaceArgument = None,
    reconnect: Annotated[
        bool, typer.Option("--reconnect/--no-reconnect", help="Whether a lost connection is opened again.")
    ] = True,
    retry: Annotated[
        bool,
        typer.Option("--retry", help="Go on until the first connection is up: the service may start later."),
    ] = False,
    wait: WaitArgument = None,
    count: CountArgument = None,
    stay: StayArgument = False,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Show states, frames and what follows from errors on stderr, without secrets."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Don't show the state of the connection.")] = False,
) -> None:
    """Keep one connection to a WebSocket server: typed lines are sent, received messages are shown.

    Each line of stdin is one text message. Messages go to stdout, one per line, with control characters written out;
    remarks, and a mark wherever messages may be missing, go to stderr. The first attempt is not repeated (but with
    --retry); a connection that is lost later is opened again.

    The end of stdin (and of --wait) or Ctrl-C closes the connection (close code 1000); a second Ctrl-C ends at once. So
    'echo question | onesocket connect --count 1 URL' prints the answer, however long it takes.

    Exit status: 0 after the end of stdin, after --count messages, or when the server closed with 1000 or 1001 (and
    --no-reconnect was given); 1 if the connection failed, a line could not be sent, or fewer than --count messages
    came; 2 if the command was misused; 130 after Ctrl-C and 143 after SIGTERM (128 + signal).
    """
    from ..errors import UsageError
    from ._connect import ConnectSession
    from ._output import Output, silence_log
    from ._trace import trace_recorder

    through, tls = proxy_option(proxy, no_proxy=no_proxy), tls_option(cacert, client_cert)
    end = EndRule(stay, wait, count)
    headers = [parse_header(text) for text in header or ()]
    if token_query is not None and token is None:
        fail("--token-query needs a token: --token, or ONESOCKET_TOKEN in the environment")
    if retry and not reconnect:
        fail("--retry can't be combined with --no-reconnect: both are one policy")
    silence_log()
    output = Output(secrets=[token or "", *header_secrets(headers)], quiet=quiet)

    async def session() -> int:
        client = Client(
            url,
            token=token,
            protocol=_protocol(as_json, token_query),
            headers=headers,
            subprotocols=subprotocol or (),
            proxy=through,
            ssl=tls,
            server_hostname=server_hostname,
            local_address=local_address,
            max_size=max_size or None,
            open_timeout=open_timeout,
            ping_interval=ping_interval or None,
            silence_timeout=silence_timeout,
            pace=parse_pace("--pace", pace),
            reconnect=ReconnectPolicy(first=retry) if reconnect else None,
            recorder=trace_recorder(output) if trace else None,
        )
        return await ConnectSession(client, output, as_json=as_json, end=end).run()

    try:
        status = asyncio.run(session())
    except UsageError as error:
        output.fail(str(error))
        status = EXIT_USAGE
    raise typer.Exit(status)


def _protocol(as_json: bool, token_query: str | None) -> Protocol:
    kind = Json if as_json else Raw
    return kind() if token_query is None else kind(token_place=TokenQuery(token_query))
