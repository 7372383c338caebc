"""The options of the commands that say how a connection reaches its server."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated

import typer

from ..transports._proxy import ProxyOption
from ._usage import fail

ProxyArgument = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A proxy: http://, https://, socks5h://, socks5://, socks4a:// or socks4://. Default: that of the "
        "environment, unless no_proxy lists the host: for wss:// the first of wss_proxy, socks_proxy, https_proxy and "
        "all_proxy that is set, for ws:// of ws_proxy, socks_proxy, https_proxy, http_proxy and all_proxy.",
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
CacertArgument = Annotated[
    Path | None,
    typer.Option(
        "--cacert",
        metavar="FILE",
        help="Certificates of authorities (PEM) that are trusted for wss:// beside the system's, in whose place "
        "SSL_CERT_FILE names others.",
    ),
]
ClientCertArgument = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A client certificate with its key (PEM), for a wss:// server that wants one."),
]
MaxSizeArgument = Annotated[
    int, typer.Option(min=0, metavar="BYTES", help="Size limit of one message of the server; 0: none.")
]
DEFAULT_MAX_SIZE = 16 << 20


def tls_option(cacert: Path | None, client_cert: Path | None) -> ssl.SSLContext | None:
    """Return the value of `ssl=` for these two options."""
    if cacert is None and client_cert is None:
        return None
    context = ssl.create_default_context()
    for flag, path, load in (
        ("--cacert", cacert, context.load_verify_locations),
        ("--client-cert", client_cert, context.load_cert_chain),
    ):
        try:
            if path is not None:
                load(path)
        except ssl.SSLError as error:
            fail(f"{flag}: {path} can't be used: {error.reason or 'it is not PEM'}")
        except OSError as error:
            fail(f"{flag}: {path} can't be read: {error.strerror}")
    return context


def proxy_option(proxy: str | None, *, no_proxy: bool) -> ProxyOption:
    """Return the value of `proxy=` for these two options."""
    if proxy is not None and no_proxy:
        fail("--proxy can't be combined with --no-proxy")
    return None if no_proxy else proxy or True
