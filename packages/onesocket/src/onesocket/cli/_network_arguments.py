"""The options of the commands that say how a connection reaches its server."""

from __future__ import annotations

from typing import Annotated

import typer

from ..transports._proxy import ProxyOption
from ._usage import fail

ProxyArgument = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A proxy: http://, https://, socks5h://, socks5://, socks4a:// or socks4://. Default: the one that the "
        "environment has for the address (wss_proxy, https_proxy, all_proxy ...; docs/network.md).",
    ),
]
NoProxyArgument = Annotated[bool, typer.Option("--no-proxy", help="Use no proxy, whatever the environment says.")]
ServerHostnameArgument = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The name for SNI and the server's certificate, instead of that of the URL."),
]
LocalAddressArgument = Annotated[
    str | None, typer.Option(metavar="IP", help="The address of this machine to connect from.")
]


def proxy_option(proxy: str | None, *, no_proxy: bool) -> ProxyOption:
    """Return the value of `proxy=` for these two options."""
    if proxy is not None and no_proxy:
        fail("--proxy can't be combined with --no-proxy")
    return None if no_proxy else proxy or True
