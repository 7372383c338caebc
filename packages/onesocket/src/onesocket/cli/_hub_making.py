"""The hubs that ``onesocket share`` makes of its options."""

from __future__ import annotations

from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ._usage import fail

if TYPE_CHECKING:
    from ..hub import Hub, HubOptions, Merge
    from ..hub._merge import InterestReader
    from ..protocols import Pace
    from ..services._registry import Service
    from ..sharing._upstream import Upstream
    from ..sharing.cluster import ClusterOptions


def make_hub(
    options: HubOptions,
    url: str | None,
    key: str | None,
    merge: Merge | None,
    *,
    paces: tuple[Pace | None, Pace | None],
    last_values: str | None,
    request_id: str | None,
    service: Service | None,
    own: str | None,
    cluster: ClusterOptions | None,
    **given: Any,
) -> Hub:
    """Make a hub for any WebSocket; `given`: options of its client, the token among them.

    `own`: with `--scope host` or `cluster`, whether this process holds the connection; `cluster`: with the latter.
    """
    from ..client import Client
    from ..hub import Hub, JsonField, JsonRequests, MergedRaw, RawFrontend
    from ..protocols import Json, LastValues, Raw, Requests
    from ..sharing._client_upstream import ClientUpstream
    from ..sharing._connection_key import ConnectionKey
    from ..sharing._option_digests import option_digests

    if url is None:
        fail("the URL of the upstream is missing: onesocket share wss://...")
    pace, control_pace = paces
    requests = None if request_id is None else JsonRequests(id=request_id)
    snapshot = None if last_values is None else LastValues(key=JsonField(last_values))
    protocol: Any
    reader: InterestReader | None = merge
    if service is not None:
        from ..hub._service_frames import ServiceFrames, ServiceInterests

        protocol = ServiceFrames(service.protocol())
        reader = ServiceInterests(protocol, service.key)
        requests, snapshot = protocol.requests, protocol.snapshot
        rotation = service.rotation()
        given["rotation"] = None if rotation is None else rotation.wrap(protocol.decode)
    elif merge is None:
        protocol = Raw(pace=pace, snapshot=snapshot, requests=requests)
        # On the wire it's the same, so programs may join with that.
        programs = Requests(id=request_id) if request_id is not None and options.json else requests
        protocol.fingerprint = (Json if options.json else Raw)(pace=pace, requests=programs).fingerprint
    else:
        protocol = MergedRaw(merge, pace=pace, control_pace=control_pace, snapshot=snapshot, requests=requests)
    given["protocol"] = protocol
    connection_key = ConnectionKey.of(url, key=key, token=given["token"])
    make_client = partial(Client, url, **given)
    client = make_client()
    upstream: Upstream
    if own is not None:
        from ..sharing._upstream import ConnectionSpec
        from ..sharing.host import HostOptions, HostUpstream

        spec = ConnectionSpec(
            key=connection_key,
            options=given,
            protocol=protocol,
            make_client=make_client,
            host_options=HostOptions(own=own),
        )
        if cluster is None:
            upstream = HostUpstream(spec)
        else:
            from ..sharing.cluster._cluster_upstream import ClusterUpstream

            upstream = ClusterUpstream(spec, cluster)
    else:
        upstream = ClientUpstream(client)
    frontend = RawFrontend(upstream, options, reader, snapshots=snapshot is not None, requests=requests)
    digests = option_digests(client)
    return Hub(upstream, frontend, options, key=connection_key.digest(), digests=digests)


def make_discord_hub(options: HubOptions, **given: Any) -> Hub:
    """Make a hub for a bot; `given`: options of its client, the token among them."""
    if given["token"] is None:
        fail("--discord needs the bot's token: --token, or ONESOCKET_TOKEN in the environment")
    hub: Hub = _load_frontend("discord", "onesocket-discord")(options, **given)
    return hub


def _load_frontend(name: str, distribution: str) -> Any:
    """Load the function that makes a hub for one kind of client, from the distribution that has it."""
    found = tuple(metadata.entry_points(group="onesocket.frontends", name=name))
    if not found:
        fail(f'--{name} is in another distribution: pip install "{distribution}"')
    return found[0].load()
