"""Options of ``onesocket serve`` for a server that others than the users of its machine reach."""

from __future__ import annotations

import enum
from typing import Annotated

import typer


class RequestLogFormat(enum.StrEnum):
    """The values of ``--log-requests``."""

    TEXT = "text"
    JSON = "json"


TrustedProxyOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="A reverse proxy, or its network, whose X-Forwarded-For and -Proto are believed; may be repeated.",
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="ONESOCKET_CHAT_CLUSTER",
        help="redis://HOST of Redis or Valkey: servers with the same --database are as one.",
    ),
]
PublicUrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="ONESOCKET_PUBLIC_URL",
        help="https://HOST of a reverse proxy in front: clients are told its address, and its pages may use the "
        "server, in place of other pages of this machine.",
    ),
]
GatewayUrlOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The gateway's address that clients are told, if it isn't --public-url's."),
]
OriginOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help="Where more pages come from that may use the server; may be repeated. Those of --public-url and of the "
        "server's own address may, and without --public-url all of this machine.",
    ),
]
LogRequestsOption = Annotated[
    RequestLogFormat | None,
    typer.Option(help="Write a line for each request to standard error: no token, no query, no text of users."),
]
MetricsOption = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Prometheus metrics on HOST:PORT, or PORT on 127.0.0.1."),
]
