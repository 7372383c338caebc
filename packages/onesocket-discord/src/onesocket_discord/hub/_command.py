"""The hub that ``onesocket share --discord`` runs."""

from __future__ import annotations

import dataclasses
import ssl as ssl_module
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from onesocket.hub import Hub, HubOptions
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.sharing._connection_key import ConnectionKey, secret_digest
from onesocket.sharing._option_digests import option_digests
from onesocket.sharing._upstream import ConnectionSpec, Upstream
from onesocket.transports._proxy import ProxyOption

from ..client import DiscordClient
from ..protocol import Intents
from ..protocol._api import API_URL
from ._frontend import DiscordFrontend
from ._shared_session import SharedSession

if TYPE_CHECKING:
    from onesocket.sharing.cluster import ClusterOptions

SHARED_URL: Final = "wss://gateway.discord.gg"
"""The URL with which programs join to share the session of a hub at Discord's own API."""


def make_hub(
    options: HubOptions,
    *,
    token: str,
    url: str | None,
    intents: int | None,
    open_timeout: float,
    silence_timeout: float | None,
    headers: tuple[tuple[str, str], ...],
    proxy: ProxyOption,
    ssl: ssl_module.SSLContext | None,
    local_address: str | None,
    own: str | None = None,
    cluster: ClusterOptions | None = None,
) -> Hub:
    """Make a hub whose upstream is one Discord session.

    `url` is the gateway's address (ws, wss) or the API's (http, https); None: Discord's own API. `own`: the session is
    shared with other processes, or with other hosts by `cluster`; whether this process has the connection.
    """
    address = url or API_URL
    where: dict[str, Any] = {"gateway_url": address} if address.startswith("ws") else {"api_url": address}
    make_client = partial(
        DiscordClient,
        token,
        Intents.UNPRIVILEGED if intents is None else intents,
        open_timeout=open_timeout,
        silence_timeout=silence_timeout,
        headers=headers,
        proxy=proxy,
        ssl=ssl,
        local_address=local_address,
        snapshot=own is not None,
        **where,
    )
    client = make_client()
    # Of a bot there is one session, whatever address it is reached at.
    key = f"discord {secret_digest(token.removeprefix('Bot '))}"
    if own is None:
        upstream: Upstream = ClientUpstream(client)
        frontend = DiscordFrontend(client, options)
    else:
        # The URL is a part of the key, and nothing is dialled by it.
        given = client.internals.options
        named = SHARED_URL if url is None or given.address is None else given.address.url
        upstream = _shared_upstream(
            ConnectionSpec(
                key=ConnectionKey.of(named, token=token.removeprefix("Bot ")),
                options={"token": token.removeprefix("Bot "), "open_timeout": open_timeout},
                protocol=given.protocol,
                make_client=make_client,
            ),
            own,
            cluster,
        )
        frontend = DiscordFrontend(SharedSession(client, upstream), options)
    return Hub(upstream, frontend, options, key=key, digests=option_digests(client))


def _shared_upstream(spec: ConnectionSpec, own: str, cluster: ClusterOptions | None) -> Upstream:
    """The session that this hub shares with other processes, and with other hosts by `cluster`."""
    from onesocket.sharing.host import HostOptions, HostUpstream  # noqa: PLC0415 - where they are used alone

    spec = dataclasses.replace(spec, host_options=HostOptions(own=own))
    if cluster is None:
        return HostUpstream(spec)
    from onesocket.sharing.cluster._cluster_upstream import ClusterUpstream  # noqa: PLC0415 - as above

    return ClusterUpstream(spec, cluster)
