"""The options of the commands that name a service, and its token."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from ..services._registry import Service, find_service
from ._usage import fail

TOKEN_VARIABLE: Final = "ONESOCKET_TOKEN"  # noqa: S105 - a variable's name

TokenFileArgument = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="The service's token, from a file's first line (-: of stdin). Default: ONESOCKET_TOKEN, or the service's "
        "own variables, of the environment. No option takes the token itself, as other users of this machine can see "
        "the arguments of a command.",
    ),
]


def read_token(path: Path) -> str:
    """Return the first line of a file, or of stdin."""
    try:
        if str(path) == "-":
            text = "" if sys.stdin is None else sys.stdin.readline()
        else:
            with path.open(encoding="utf-8") as file:
                text = file.readline()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        fail(f"the token can't be read from {path}: {why}")
    return text.strip() or fail(f"the first line of {path} is empty: it has to hold the token")


def service_token(name: str, service: Service, given: str | None, option: str) -> str | None:
    """Return the service's token: the given one, or that of its own variables. One that it needs must be there.

    `option`: the one that gives it, for the error.
    """
    token = given or service.token_of(os.environ)
    if token is None and service.token:
        own = f", or {' and '.join(service.variables)}" if service.variables else ""
        fail(f"{name} needs a token, {service.token}: in the environment ({TOKEN_VARIABLE}{own}), or by {option}")
    return token


def chosen_service(name: str | None, protocol: str) -> Service | None:
    """Return the service of --service, or one made of --protocol MODULE:OBJECT; None: neither is given."""
    if name is not None:
        if protocol != "raw":
            fail("--service can't be combined with --protocol: a service has its own")
        return find_service(name)
    if ":" not in protocol:
        return None
    from ..hub._service_frames import load_protocol  # imports all of the hub

    made = load_protocol(protocol)
    return Service(module=protocol, make_protocol=lambda: made)
