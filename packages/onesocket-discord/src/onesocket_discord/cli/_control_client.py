"""Sends control requests of commands to the server that runs, or without one performs them on its database."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from onesocket.cli._usage import EXIT_FAILED, EXIT_USAGE, fail

from ._server_place import ServerPlace

_TIMEOUT: Final = 10.0
_PATIENCE: Final = 5.0
_PAUSE: Final = 0.1

DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="The SQLite file, or the directory for it. Default: chat.db in the user's data directory.",
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="ONESOCKET_DATABASE",
        help="postgresql+asyncpg://USER@HOST/DATABASE in place of a file. A password is seen by others in a command "
        "line: give it by PGPASSWORD, ~/.pgpass or this variable.",
    ),
]


def manage(
    data: Path | None, database: str | None, what: str, body: dict[str, Any], *, makes_database: bool = False
) -> dict[str, Any]:
    """Perform an operation of the server's owner, in the running server or without one in its database.

    `what`: as `onesocket_discord.server._management` names it. `makes_database`: a file that is missing is made.
    """
    with ErrorReporting():
        place = ServerPlace.find(data, database)
        answer = ask_server(place, what, body)
        if answer is not None:
            return answer
        if makes_database:
            place.make_directory()
        elif place.file is not None and not place.file.is_file():
            fail(f"there is no database at {place.file}; name it with --data", EXIT_FAILED)
        return _manage_when_free(place, what, body)


def _manage_when_free(place: ServerPlace, what: str, body: dict[str, Any]) -> dict[str, Any]:
    """Perform an operation in the database. A server that starts or ends has it for a moment yet."""
    from ..server.store._sqlite import StoreInUse

    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return asyncio.run(_manage_database(place, what, body))
        except StoreInUse:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)
        answer = ask_server(place, what, body)
        if answer is not None:
            return answer


async def _manage_database(place: ServerPlace, what: str, body: dict[str, Any]) -> dict[str, Any]:
    from ..server._management import manage_service
    from ..server.gateway import GatewayServer
    from ..server.service import ChatService

    # Beside the servers of a cluster, which publish what this changes.
    async with ChatService.open(place.database, GatewayServer(), shared=place.file is None) as service:
        return await manage_service(service, what, body)


def ask_server(place: ServerPlace, what: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """Send a control request to the server of this file; returns None without one."""
    try:
        control = json.loads(place.control_file.read_text(encoding="utf-8"))
        url, headers = urlsplit(str(control["url"])), {"Authorization": f"Control {control['token']}"}
    except (OSError, ValueError, KeyError):
        return None
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_TIMEOUT)
    try:
        connection.request("POST", f"{url.path}{what}", json.dumps(body), headers)
        response = connection.getresponse()
        status, answer = response.status, json.loads(response.read())
    except ConnectionRefusedError:
        return None  # it was killed, and its file is still there
    except (OSError, ValueError, http.client.HTTPException) as error:
        fail(f"the server at {url.netloc} doesn't answer: {error}", EXIT_FAILED)
    finally:
        connection.close()
    if status == 401:
        return None  # another server has the port now
    if status != 200:
        fail(str(answer.get("message", answer)), EXIT_FAILED)
    found: dict[str, Any] = answer
    return found


class ErrorReporting:
    """Prints typed errors in one line; errors of usage exit with 2, others with 1."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        from onesocket.errors import InvalidOption, MissingExtra, OnesocketError

        if isinstance(error, OnesocketError):
            fail(str(error), EXIT_USAGE if isinstance(error, InvalidOption | MissingExtra) else EXIT_FAILED)
