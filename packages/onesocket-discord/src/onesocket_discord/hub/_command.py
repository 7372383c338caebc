"""The hub that ``onesocket share --discord`` runs."""

from __future__ import annotations

import ssl as ssl_module
from typing import Any

from onesocket.hub import Hub, HubOptions
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.sharing._connection_key import secret_digest
from onesocket.sharing._option_digests import option_digests
from onesocket.transports._proxy import ProxyOption

from ..client import DiscordClient
from ..protocol import Intents
from ..protocol._api import API_URL
from ._frontend import DiscordFrontend


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
) -> Hub:
    """Make a hub whose upstream is one Discord session.

    `url` is the gateway's address (ws, wss) or the API's (http, https); None: Discord's own API.
    """
    address = url or API_URL
    where: dict[str, Any] = {"gateway_url": address} if address.startswith("ws") else {"api_url": address}
    client = DiscordClient(
        token,
        Intents.UNPRIVILEGED if intents is None else intents,
        open_timeout=open_timeout,
        silence_timeout=silence_timeout,
        headers=headers,
        proxy=proxy,
        ssl=ssl,
        local_address=local_address,
        **where,
    )
    # Of a bot there is one session, whatever address it is reached at.
    key = f"discord {secret_digest(token.removeprefix('Bot '))}"
    return Hub(
        ClientUpstream(client), DiscordFrontend(client, options), options, key=key, digests=option_digests(client)
    )
