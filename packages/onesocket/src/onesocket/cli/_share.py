"""``onesocket share URL``: one connection, and a local endpoint for programs in any language."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..services._registry import SERVICES
from ._flow_arguments import PaceArgument, SilenceTimeoutArgument, parse_pace
from ._hub_making import make_discord_hub, make_hub
from ._hub_run import run_hub
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
from ._option_names import with_option_names
from ._service_arguments import chosen_service, service_token
from ._usage import check_engine_url, fail, one_of, parse_header

if TYPE_CHECKING:
    from ..hub import Merge
    from ..sharing.cluster import ClusterOptions

_MERGE_OPTIONS = ("merge_action", "merge_subscribe", "merge_unsubscribe", "merge_keys", "merge_key")
_OPTION_FLAGS = {
    "headers": "--header",
    "subprotocols": "--subprotocol",
    "protocol": "--protocol, --merge, --pace and --control-pace",
    "proxy": "--proxy and --no-proxy",
    "ssl": "--cacert and --client-cert",
    "server_hostname": "--server-hostname",
    "local_address": "--local-address",
}
_LOCAL_TOKEN_VARIABLE = "ONESOCKET_LOCAL_TOKEN"  # noqa: S105 - a variable's name


def share(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="ws://..., wss://... or ws+unix:///path/of/socket; with --discord the gateway's address, or that of "
            "the API (the default is Discord's own).",
        ),
    ] = None,
    *,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS", help="HOST:PORT, PORT (on 127.0.0.1; 0: a free one) or unix:PATH.")
    ] = "127.0.0.1:8730",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ONESOCKET_TOKEN",
            help="For the upstream: 'Authorization: Bearer ...', or the bot's. Better given in the environment: other "
            "users of this machine can see the arguments of a command.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A name for the account or feed, where only --header or --subprotocol tells it from another one. With "
            "--scope host it is the key= of join().",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME: VALUE'", help="A header field for the upstream's upgrade (may be repeated)."),
    ] = None,
    subprotocol: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A sub-protocol to offer upstream, most wanted first (may be repeated)."),
    ] = None,
    proxy: ProxyArgument = None,
    no_proxy: NoProxyArgument = False,
    cacert: CacertArgument = None,
    client_cert: ClientCertArgument = None,
    server_hostname: ServerHostnameArgument = None,
    local_address: LocalAddressArgument = None,
    max_size: MaxSizeArgument = DEFAULT_MAX_SIZE,
    local_token: Annotated[
        str | None,
        typer.Option(
            envvar=_LOCAL_TOKEN_VARIABLE,
            help="For local clients, which send 'Authorization: Bearer ...' or ?token=... (Discord: in Identify). "
            "Better given in the environment or in a file, too.",
        ),
    ] = None,
    local_token_file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The same, from a file's first line.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help="A web page that may connect: https://example.org, or * (may be repeated)."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host name of this hub, beside localhost (may be repeated)."),
    ] = None,
    max_clients: Annotated[int, typer.Option(min=1, help="Local clients at once.")] = 256,
    client_limit: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="BYTES",
            help="What is kept for clients that lag behind, once for all of them; one that lags further is cut off.",
        ),
    ] = 64 << 20,
    client_timeout: Annotated[
        float,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="A client that reads nothing for so long, while messages wait for it, is cut off.",
        ),
    ] = 60.0,
    max_message: Annotated[int, typer.Option(min=1, metavar="BYTES", help="Size limit of a client's message.")] = 1
    << 20,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="raw|json|MODULE:OBJECT",
            help="json: messages of clients must be JSON. With --scope host, other programs join with protocol=Json() "
            "then, else with Raw(). MODULE:OBJECT: a Protocol of yours, or a function that makes one, with its login "
            "and subscriptions: the hub logs in and subscribes, and clients send "
            '{"op": "subscribe", "args": [KEYS]}.',
        ),
    ] = "raw",
    service: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"The same for a known service ({', '.join(sorted(SERVICES))}). Default of URL: the service's own.",
        ),
    ] = None,
    on_loss: Annotated[
        str, typer.Option(metavar="keep|close", help="Whether clients stay connected while the upstream is lost.")
    ] = "keep",
    gap_message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Sent to every client where messages may be missing.")
    ] = None,
    merge: Annotated[
        str | None,
        typer.Option(
            metavar="json|MODULE:OBJECT",
            help="Merge the clients' subscriptions: the usual JSON shape, or an object of yours, with the methods of "
            "onesocket.hub.Merge.",
        ),
    ] = None,
    merge_action: Annotated[str, typer.Option(metavar="NAME", help="--merge json: the member with the action.")] = "op",
    merge_subscribe: Annotated[str, typer.Option(metavar="VALUE", help="Its value that subscribes.")] = "subscribe",
    merge_unsubscribe: Annotated[
        str, typer.Option(metavar="VALUE", help="Its value that unsubscribes.")
    ] = "unsubscribe",
    merge_keys: Annotated[str, typer.Option(metavar="NAME", help="The member with the list of keys.")] = "args",
    merge_key: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Where a message's key is (arg.channel): only its subscribers get it."),
    ] = None,
    last_values: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="A client begins with the newest message for each value at this place (data.symbol) of JSON messages.",
        ),
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The member with the id of a JSON request and its answers: clients may use the same ids, and each "
            "gets the answers to its own requests alone.",
        ),
    ] = None,
    pace: PaceArgument = None,
    silence_timeout: SilenceTimeoutArgument = None,
    control_pace: Annotated[
        str | None,
        typer.Option(
            metavar="N[/SECONDS]",
            help="--merge: how many subscription messages the upstream takes in so many seconds; they count in --pace, "
            "too.",
        ),
    ] = None,
    linger: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Close the upstream this long after the last client; by default it stays open.",
        ),
    ] = None,
    scope: Annotated[
        str,
        typer.Option(
            metavar="process|host|cluster",
            help="host: one connection together with your Python programs that join with scope='host'. cluster: "
            "together with those of all hosts that join with scope='cluster'.",
        ),
    ] = "process",
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The engine of the cluster: redis://, rediss://, unix:, redis+sentinel://, nats:// or tls://; implies "
            "--scope cluster, for which ONESOCKET_CLUSTER names it otherwise. Better given there: other users of this "
            "machine can see the arguments of a command.",
        ),
    ] = None,
    own: Annotated[
        str,
        typer.Option(
            metavar="prefer|allow|never",
            help="--scope host or cluster: hold the connection of this host's processes if possible; if no other "
            "process does; or only use another's.",
        ),
    ] = "prefer",
    open_timeout: Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="For one attempt upstream.")] = 10.0,
    discord: Annotated[bool, typer.Option("--discord", help="The upstream is one Discord session.")] = False,
    intents: Annotated[
        int | None,
        typer.Option(min=0, help="--discord: its intents, as a number. Default: all that aren't privileged."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Prometheus metrics on HOST:PORT, or PORT on 127.0.0.1.")
    ] = None,
) -> None:
    """Share one connection with local programs in any language.

    Frames of local clients are sent upstream, and frames from upstream to all of them. Ctrl-C or SIGTERM closes the
    clients with 1001, then the upstream with 1000, and ends with status 0; a second one ends at once. Exit status
    otherwise: 1 if the upstream has failed, 2 if the command was misused or another hub has this connection already.
    """
    from ..errors import OptionConflict
    from ..hub import Endpoint, HubOptions, JsonMerge, load_merge

    _check_combinations(context)
    try:
        spoken = chosen_service(service, protocol)
        if spoken is not None:
            _check_service_options(context)
            url = url or (str(spoken.url()) if service is not None else None)
            token = service_token(service, spoken, token, "--token") if service is not None else token
        headers = tuple(map(parse_header, header or ()))
        options = HubOptions(
            listen=Endpoint.parse(listen, "--listen"),
            token=_local_token(local_token, local_token_file),
            allow_origins=allow_origin or (),
            allow_hosts=allow_host or (),
            max_clients=max_clients,
            client_buffer=client_limit,
            client_timeout=client_timeout,
            max_message=max_message,
            json=spoken is None and one_of("--protocol", protocol, "raw", "json", "module:object") == "json",
            on_loss="close" if one_of("--on-loss", on_loss, "keep", "close") == "close" else "keep",
            gap_message=gap_message,
            linger=linger,
            metrics=None if metrics is None else Endpoint.parse(metrics, "--metrics", unix=False),
        )
        chosen: Merge | None = None
        if merge == "json":
            chosen = JsonMerge(
                action=merge_action,
                subscribe=merge_subscribe,
                unsubscribe=merge_unsubscribe,
                keys=merge_keys,
                key=merge_key,
            )
        elif merge is not None:
            chosen = load_merge(merge)
        paces = parse_pace("--pace", pace), parse_pace("--control-pace", control_pace)
        chosen_scope = _chosen_scope(context, scope, own)
        if discord and (chosen is not None or gap_message is not None or subprotocol or options.json or pace):
            fail("--discord can't be combined with --merge, --gap-message, --subprotocol, --pace or --protocol json")
        if discord and request_id is not None:
            fail("--request-id has no effect with --discord: its requests have no ids")
        if discord and last_values is not None:
            fail("--last-values has no effect with --discord: it is for JSON messages with a key")
        if discord and key is not None:
            fail("--key has no effect with --discord: a bot has one session")
        given: dict[str, Any] = {
            "token": token,
            "headers": headers,
            "open_timeout": open_timeout,
            "silence_timeout": silence_timeout,
            "proxy": proxy_option(proxy, no_proxy=no_proxy),
            "ssl": tls_option(cacert, client_cert),
            "local_address": local_address,
        }
        names = tuple(subprotocol or ())
        make = (
            partial(
                make_discord_hub,
                options,
                url=url,
                intents=intents,
                own=None if chosen_scope == "process" else own,
                cluster=_named_cluster(cluster) if chosen_scope == "cluster" else None,
                **given,
            )
            if discord
            else partial(
                make_hub,
                options,
                url,
                key,
                chosen,
                paces=paces,
                last_values=last_values,
                request_id=request_id,
                service=spoken,
                own=None if chosen_scope == "process" else own,
                cluster=_named_cluster(cluster) if chosen_scope == "cluster" else None,
                subprotocols=names,
                server_hostname=server_hostname,
                max_size=max_size or None,
                **given,
            )
        )
        status = asyncio.run(run_hub(make))
    except OptionConflict as error:
        flags = _OPTION_FLAGS.get(error.option)
        fail(f"{error} (of this command: {flags}, and --key)" if flags and not discord else str(error))
    except UsageError as error:
        fail(with_option_names(str(error)))
    raise typer.Exit(status)


def _check_combinations(context: typer.Context) -> None:
    """End the command for an option without effect."""
    given = context.params
    for option in _MERGE_OPTIONS:
        if given["merge"] != "json" and _is_given(context, option):
            fail(f"--{option.replace('_', '-')} has no effect without --merge json")
    if given["control_pace"] is not None and given["merge"] is None:
        fail("--control-pace has no effect without --merge, which tells subscriptions from other messages: give --pace")
    if given["intents"] is not None and not given["discord"]:
        fail("--intents has no effect without --discord")
    if given["server_hostname"] is not None and given["discord"]:
        fail("--server-hostname has no effect with --discord: the API names the gateway's address")
    if given["discord"] and _is_given(context, "max_size"):
        fail("--max-size has no effect with --discord: a payload of the gateway has a limit of its own")


def _chosen_scope(context: typer.Context, scope: str, own: str) -> str:
    """The scope; ends the command for options that can't be combined with it."""
    given = context.params
    scope = one_of("--scope", scope, "process", "host", "cluster")
    one_of("--own", own, "prefer", "allow", "never")
    check_engine_url(given["cluster"])
    if given["cluster"] is not None:
        if scope != "cluster" and _is_given(context, "scope"):
            fail("--cluster is for --scope cluster")
        scope = "cluster"
    if scope == "process" and _is_given(context, "own"):
        fail("--own has no effect without --scope host or cluster")
    if scope != "process" and given["linger"] is not None:
        fail(f"--scope {scope} can't be combined with --linger: other processes may need the connection")
    return scope


def _named_cluster(url: str | None) -> ClusterOptions:
    """The cluster with this engine; None: the one that the environment names. Raises `InvalidOption`."""
    from ..sharing.cluster._named_engine import cluster_options

    return cluster_options(url)


def _check_service_options(context: typer.Context) -> None:
    """End the command for an option that a service's protocol takes the place of."""
    for option in ("merge", "last_values", "request_id", "pace", "control_pace", "discord"):
        if _is_given(context, option):
            flag = option.replace("_", "-")
            fail(f"--{flag} can't be combined with --service or --protocol MODULE:OBJECT, which say that themselves")


def _local_token(given: str | None, path: Path | None) -> str | None:
    if path is None:
        if given is None and os.environ.get(_LOCAL_TOKEN_VARIABLE) == "":
            fail(f"{_LOCAL_TOKEN_VARIABLE} is empty, and would let any client in: give it a token, or unset it")
        return given
    if given is not None:
        fail("--local-token can't be combined with --local-token-file")
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        fail(f"the local token can't be read from {path}: {why}")


def _is_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
