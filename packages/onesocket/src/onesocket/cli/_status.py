"""``onesocket status``: the shared connections of this machine."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ._printable import printable
from ._usage import EXIT_FAILED, fail, show_error

_SHARED_FIELDS = (
    *("url", "epoch", "received_per_second", "sent_per_second", "rtt"),
    *("started", "last_error", "last_loss", "last_lost_at"),
)
_CLEAR_SCREEN = "\x1b[H\x1b[2J"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One shared connection. Times are Unix time in seconds; rates are messages per second."""

    kind: str
    """``host``: processes that joined with scope="host"; ``hub``, ``hub (discord)``: `onesocket share`."""
    url: str
    pid: int
    """The process that holds the connection."""
    listen: str | None
    """Address at which a hub listens; None for other kinds."""
    followers: int | None
    """Number of other processes, or of a hub's clients."""
    state: str | None
    """State of the connection; None: the owner doesn't answer."""
    epoch: int | None
    received_per_second: float | None
    sent_per_second: float | None
    rtt: float | None
    started: float | None
    last_error: str | None
    last_loss: str | None
    """Reason for the last loss of the connection, which may be up again."""
    last_lost_at: float | None


def status(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON list, and nothing else; with --watch one in each line.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time between two repeats.")] = 1.0,
) -> None:
    """Show this machine's shared connections: their owners, followers and states.

    Those of processes that joined with scope="host", and hubs (`onesocket share`). Only your own: other users' can't
    be asked. Exit status: 0, also if there are none; 1 if the list can't be written; 2 if the command was misused.
    """
    try:
        while True:
            found = rows()
            if as_json:
                _write(json.dumps([asdict(row) for row in found]))
            else:
                _write((_CLEAR_SCREEN if watch and sys.stdout.isatty() else "") + _table(found))
            if not watch:
                return
            time.sleep(interval)
    except UsageError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _write(text: str) -> None:
    try:
        typer.echo(text)
    except BrokenPipeError:
        os._exit(0)  # stdout has no reader; Python's own clean-up would write again
    except OSError as error:
        show_error(f"the list could not be written to stdout: {error.strerror}")
        os._exit(EXIT_FAILED)  # as above


def rows() -> list[StatusRow]:
    """Return the shared connections of this machine. Raises `NoRuntimeDirectory`."""
    from ..hub._discovery import hubs
    from ..sharing.host._listing import listing

    found = [
        StatusRow(
            kind="host",
            pid=one.pid,
            listen=None,
            followers=one.followers,
            state=None if one.state is None else one.state.value,
            **_shared_fields(one),
        )
        for one in listing()
    ]
    found += [
        StatusRow(
            kind="hub" if one.kind == "raw" else f"hub ({one.kind})",
            pid=one.pid,
            listen=one.listen,
            followers=one.clients,
            state=one.state.value,
            **_shared_fields(one),
        )
        for one in hubs()
    ]
    return found


def _shared_fields(one: Any) -> dict[str, Any]:
    """Return the fields that a `Listing` and a `HubListing` have under the names of `StatusRow`."""
    return {name: getattr(one, name) for name in _SHARED_FIELDS}


def _table(found: Sequence[StatusRow]) -> str:
    if not found:
        return "nothing is shared on this machine: no process joined with scope='host', and no hub runs"
    head = ("CONNECTION", "KIND", "OWNER", "FOLLOWERS", "STATE", "EPOCH", "IN/S", "OUT/S", "LISTENS ON")
    body = [_cells(row) for row in found]
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
             for line in (head, *body)]  # fmt: skip
    return "\n".join(lines)


def _cells(row: StatusRow) -> tuple[str, ...]:
    return (
        printable(row.url),
        row.kind,
        str(row.pid),
        _number(row.followers),
        "no answer" if row.state is None else row.state,
        _number(row.epoch),
        _number(row.received_per_second),
        _number(row.sent_per_second),
        printable(row.listen or "–"),
    )


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.1f}"
